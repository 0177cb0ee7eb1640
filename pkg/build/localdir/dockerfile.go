package localdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// stdin is how messages name it.
const stdin = "standard input"

// MostDockerfile bounds a Dockerfile, in bytes.
const MostDockerfile = 16 << 20

// IgnoreSuffix is how a Dockerfile's own .dockerignore is called.
const IgnoreSuffix = ".dockerignore"

// Dockerfile is a build's Dockerfile as far as it is known on the host.
type Dockerfile struct {
	// Shown is how messages name it; at the engine it is called Name.
	Shown, Name string
	// Text is its content; nil where only the engine can read it.
	Text []byte
	// In is the directory that is sent for it; with none it is sent from memory, and so is Ignore,
	// the .dockerignore of its own.
	In     *Dir
	Ignore []byte
}

// FindDockerfile reads the Dockerfile that the options name, or the one in the context, where that is
// a directory of the host.
func FindDockerfile(ctx context.Context, h options.Host, o options.Options, in *Dir) (Dockerfile, error) {
	switch {
	case o.Inline != "":
		return Dockerfile{Shown: "inline", Name: "Dockerfile", Text: []byte(o.Inline)}, nil
	case o.File == "-":
		if h.Stdin == nil {
			return Dockerfile{}, errors.New("reading the Dockerfile from standard input: there is none")
		}
		return ReadDockerfile(h.Stdin)
	case options.IsHTTP(o.File):
		text, err := fetch(ctx, o.File)
		return Dockerfile{Shown: o.File, Name: "Dockerfile", Text: text}, err
	case o.File != "":
		f, err := openDockerfile(o.File, h.Abs(o.File), in)
		if err != nil && in != nil && !isLocal(o.File, in) {
			if _, there := in.root.Stat(o.File); there == nil {
				err = &hint.Error{Err: errors.Unwrap(err), Fix: "-f is relative to the working directory: -f " + filepath.Join(o.Context, o.File)}
			}
		}
		return f, err
	}
	for _, name := range []string{"Dockerfile", "dockerfile", "Containerfile"} {
		f, err := openDockerfile(filepath.Join(o.Context, name), filepath.Join(in.Dir, name), in)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	err := fmt.Errorf("reading %s: %w", filepath.Join(o.Context, "Dockerfile"), fs.ErrNotExist)
	return Dockerfile{}, &hint.Error{Err: err, Fix: "write one, or name another file with -f"}
}

// isLocal reports whether an absolute path is one of a file below a directory.
func isLocal(path string, in *Dir) bool {
	rel, err := filepath.Rel(in.Dir, path)
	return err == nil && filepath.IsAbs(path) && filepath.IsLocal(rel)
}

// openDockerfile reads a Dockerfile by its path. One in the context is read below the context's
// descriptor, and any other below that of its own directory.
func openDockerfile(shown, path string, in *Dir) (Dockerfile, error) {
	f, err := locateDockerfile(path, in, 0)
	var hinted *hint.Error
	if errors.As(err, &hinted) {
		return Dockerfile{}, err
	}
	if err != nil {
		fix := "-f names the Dockerfile, from the working directory"
		var out *leadsOutError
		if errors.As(err, &out) {
			fix = "name the file that is meant: -f " + out.target
		}
		return Dockerfile{}, &hint.Error{Err: fmt.Errorf("reading %s: %w", shown, hint.Cause(err)), Fix: fix}
	}
	f.Shown, f.Name = shown, filepath.Base(path)
	return f, nil
}

// leadsOutError is a Dockerfile that is a link which another user could have put there, to a file that
// this user may not be able to read.
type leadsOutError struct{ target string }

func (e *leadsOutError) Error() string {
	return "it is a link that leads out of its directory, and others may write there"
}

// mostLinks is how many links may lead from one to the next.
const mostLinks = 40

// locateDockerfile finds a Dockerfile. Links that stay in the directory that it is read below are followed, as
// BuildKit does it. One that leads out is followed where no other user can have put it there.
func locateDockerfile(path string, in *Dir, links int) (Dockerfile, error) {
	if links > mostLinks {
		return Dockerfile{}, errors.New("too many links")
	}
	name := filepath.Base(path)
	if in != nil && isLocal(path, in) {
		name, _ = filepath.Rel(in.Dir, path) // isLocal has shown that it is
	} else {
		own, err := Open(filepath.Dir(path), nil)
		if err != nil {
			return Dockerfile{}, err
		}
		defer own.Close()
		in = &own
	}
	text, err := in.Read(name, MostDockerfile)
	if err == nil {
		return in.dockerfile(name, text)
	}
	target, ours := leadsTo(in.root, name)
	switch {
	case target == "":
		return Dockerfile{}, err
	case !filepath.IsAbs(target):
		target = filepath.Join(in.Dir, target)
	}
	if !ours {
		return Dockerfile{}, &leadsOutError{target}
	}
	f, err := locateDockerfile(target, nil, links+1)
	if err != nil {
		return f, err
	}
	// It means nothing in what is sent of that directory: its text is sent.
	if f.In != nil {
		f.In.Close()
		f.In = nil
	}
	f.Ignore, err = in.Ignored(name+IgnoreSuffix, path+IgnoreSuffix)
	return f, err
}

// dockerfile is the file of a directory that has this text. Its directory is sent, where it is really in it.
func (f Dir) dockerfile(name string, text []byte) (Dockerfile, error) {
	d := Dockerfile{Text: text}
	own, err := f.below(filepath.Dir(name))
	if err == nil {
		if _, err := own.file(filepath.Base(name)); err == nil {
			d.In = &own
			return d, nil
		}
		own.Close()
	}
	d.Ignore, err = f.Ignored(name+IgnoreSuffix, filepath.Join(f.Dir, name)+IgnoreSuffix)
	return d, err
}

// leadsTo is where the first link on the way to a name leads: a path that is absolute, or relative to the root, or ""
// where there is no link. ours says that no other user can have put it there.
func leadsTo(root *os.Root, name string) (target string, ours bool) {
	ours = true
	for dir, rest := ".", name; ; {
		ours = ours && isPrivate(root, dir)
		first, more, deeper := strings.Cut(rest, string(filepath.Separator))
		path := filepath.Join(dir, first)
		if isLink(root, path) {
			to, err := root.Readlink(path)
			if err != nil {
				return "", false
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(dir, to)
			}
			return filepath.Join(to, more), ours
		}
		if !deeper {
			return "", false
		}
		dir, rest = path, more
	}
}

func readAll(in io.Reader, what string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, MostDockerfile+1))
	if err == nil && len(text) > MostDockerfile {
		err = fmt.Errorf("it has more than %d MiB", MostDockerfile>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile from %s: %w", what, err)
	}
	return text, nil
}

// ReadDockerfile reads a Dockerfile from standard input.
func ReadDockerfile(in io.Reader) (Dockerfile, error) {
	text, err := readAll(in, stdin)
	return Dockerfile{Shown: stdin, Name: "Dockerfile", Text: text}, err
}

func fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching the Dockerfile: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching the Dockerfile: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching the Dockerfile %s: %s", address, res.Status)
	}
	return readAll(res.Body, address)
}

// mostIgnored bounds a .dockerignore, in bytes: it goes to the engine and back as a whole, for each directory that
// is sent.
const mostIgnored = 256 << 10

// Ignored reads a .dockerignore, nil where there is none. One that is too large is refused before anything
// is sent.
func (f Dir) Ignored(name, shown string) ([]byte, error) {
	text, err := f.Read(name, mostIgnored)
	var path *fs.PathError
	switch {
	case err == nil:
		return text, nil
	case errors.As(err, &path):
		return nil, nil // BuildKit says what is wrong with it, or takes it for none
	}
	return nil, &hint.Error{Err: fmt.Errorf("reading %s: %w", shown, err), Fix: "list directories as a whole, not what is in them"}
}
