package guestimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Source is where an image comes from: an address, a file or directory of this host, or the store itself.
type Source struct {
	// URL is https, or http to this very host; Path is absolute. Without either, the image is in the store already.
	URL, Path string
	// Digest is the packed form's; "" where the user named none.
	Digest Digest
}

// ParseSource reads what a user writes: a URL, a path from / or ~ on (home is what ~ stands for), each with "#sha256:..."
// behind it or without, or a digest alone. Its errors have a hint.
func ParseSource(text, home string) (Source, error) {
	if strings.HasPrefix(text, algorithm) {
		d, err := ParseDigest(text)
		return Source{Digest: d}, err
	}
	place, digest, named := strings.Cut(text, "#")
	s := Source{}
	if named {
		d, err := ParseDigest(digest)
		if err != nil {
			return s, err
		}
		s.Digest = d
	}
	if strings.Contains(place, "://") {
		u, err := url.Parse(place)
		if err != nil {
			return s, hint.With(fmt.Errorf("%q is no URL", place), "write it like https://example.com/"+FileName("1.0.0", "amd64"))
		}
		s.URL = place
		return s, checkURL(u)
	}
	if rest, ok := strings.CutPrefix(place, "~/"); ok {
		place = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(place) {
		return s, hint.With(fmt.Errorf("%q is neither a URL nor a path from / or ~ on", place), "write it in full")
	}
	s.Path = filepath.Clean(place)
	return s, nil
}

// checkURL refuses what others on the way could read or change, or what holds a password.
func checkURL(u *url.URL) error {
	switch {
	case u.User != nil:
		return hint.New("a URL with a user or a password is not taken: it would be shown and kept", "serve it without one, or fetch it yourself: linnet vm image import FILE")
	case u.Host == "":
		return hint.With(fmt.Errorf("%q names no host", u), "write it like https://example.com/"+FileName("1.0.0", "amd64"))
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return hint.With(fmt.Errorf("%s is not reached over https", u.Redacted()), "use https; http is for this very host alone (127.0.0.1)")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Wish is what decides about the image of this host.
type Wish struct {
	// Setting is what the user has set, as ParseSource reads it; "" is nothing. Home is what ~ stands for.
	Setting, Home string
	// Beside is the directory in which an image can stand that came with the client.
	Beside string
	// Release is what the client knows of the image that goes with it, and Arch the machine's architecture as Go names it.
	Release Release
	Arch    string
}

// Choice is the image that is wanted.
type Choice struct {
	// Dir is its directory, there or not. Digest is "" of a directory that is used where it is.
	Dir    string
	Digest Digest
	// There says that Dir can be used; otherwise Source is where Fetch takes it from.
	There  bool
	Source Source
}

// Choose decides for what is set; else for what came with the client; else for the client's release. It fetches nothing.
// Its errors have a hint, and say why there is no image.
func (s *Store) Choose(ctx context.Context, w Wish) (Choice, error) {
	if w.Setting == "" {
		if _, err := os.Stat(w.Beside); w.Beside != "" && err == nil {
			return Choice{Dir: w.Beside, There: true}, nil
		}
		source, err := w.Release.Source(w.Arch)
		if err != nil {
			return Choice{}, err
		}
		return s.stored(source), nil
	}
	source, err := ParseSource(w.Setting, w.Home)
	switch {
	case err != nil:
		return Choice{}, err
	case source.Path != "":
		return s.chooseFile(ctx, source)
	case source.URL != "":
		source, err = w.Release.complete(source, w.Arch)
		return s.stored(source), err
	case !s.Has(source.Digest):
		return Choice{}, hint.With(fmt.Errorf("the image %s is not here", source.Digest), "linnet vm image import FILE, or set vm.image to where it is")
	}
	return s.stored(source), nil
}

func (s *Store) stored(source Source) Choice {
	return Choice{Dir: s.Dir(source.Digest), Digest: source.Digest, There: s.Has(source.Digest), Source: source}
}

// chooseFile takes a directory where it is, and a packed form by its digest.
func (s *Store) chooseFile(ctx context.Context, source Source) (Choice, error) {
	const fix = "name a packed image, or the directory of an unpacked one"
	info, err := os.Stat(source.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && source.Digest != "" && s.Has(source.Digest):
		return s.stored(source), nil // it was taken already
	case err != nil:
		return Choice{}, hint.With(hint.PathCause(err), fix)
	case info.IsDir():
		return Choice{Dir: source.Path, There: true}, nil
	case source.Digest == "":
		if source.Digest, err = s.digest(ctx, source.Path, info); err != nil {
			return Choice{}, hint.With(hint.PathCause(err), fix)
		}
	}
	return s.stored(source), nil
}

// digest is a file's; it is read once, as long as its size and time stay: a start asks several times.
func (s *Store) digest(ctx context.Context, path string, info fs.FileInfo) (Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.known[path]; ok && k.size == info.Size() && k.time.Equal(info.ModTime()) {
		return k.digest, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	d, err := hash(ctx, file)
	if err == nil {
		s.known[path] = knownFile{size: info.Size(), time: info.ModTime(), digest: d}
	}
	return d, err
}
