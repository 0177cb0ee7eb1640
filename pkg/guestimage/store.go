package guestimage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Store holds images by digest in a directory of LINNET_HOME.
type Store struct {
	layout host.Layout
	net    network
	// free is host.Free, but for tests.
	free func(path string) (int64, bool)

	mu sync.Mutex
	// known are digests of files, as long as size and time stay.
	known map[string]knownFile
}

// knownFile is a file whose digest was taken.
type knownFile struct {
	size   int64
	time   time.Time
	digest Digest
}

// Open returns the store of a home. Nothing is made yet.
func Open(l host.Layout) *Store {
	return &Store{layout: l, net: newNetwork(), free: host.Free, known: map[string]knownFile{}}
}

// Note is told what work on an image is at, for people: "120 MiB of 310 MiB". Nil is told nothing.
type Note func(text string)

func (n Note) tell(format string, args ...any) {
	if n != nil {
		n(fmt.Sprintf(format, args...))
	}
}

// Dir is where the image of a digest is, or will be.
func (s *Store) Dir(d Digest) string { return s.layout.StoredImage(d.Hex()) }

// Has reports whether the image of a digest is there. One that is there is whole.
func (s *Store) Has(d Digest) bool {
	_, err := os.Lstat(filepath.Join(s.Dir(d), manifest))
	return err == nil
}

// Image is an image in the store, or what has come of one.
type Image struct {
	Digest Digest `json:"digest"`
	// Size is what it takes up on the disk, in bytes.
	Size int64 `json:"size"`
	// Created is when it came here.
	Created time.Time `json:"created"`
	// Partial says that it has not come whole yet: the next fetch goes on from there.
	Partial bool `json:"partial,omitempty"`
}

// List returns what is in the store, the newest first.
func (s *Store) List() ([]Image, error) {
	entries, err := os.ReadDir(s.layout.Images())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the images in %s: %w", s.layout.Images(), hint.Cause(err))
	}
	all := []Image{}
	for _, e := range entries {
		name, partial := strings.CutSuffix(e.Name(), filepath.Ext(s.layout.ImagePart("")))
		d, err := ParseDigest(strings.Replace(name, "-", ":", 1))
		info, infoErr := e.Info()
		if err != nil || infoErr != nil || e.IsDir() == partial {
			continue // not an image's, or gone meanwhile
		}
		all = append(all, Image{Digest: d, Size: host.Used(filepath.Join(s.layout.Images(), e.Name())), Created: info.ModTime(), Partial: partial})
	}
	slices.SortFunc(all, func(a, b Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Digest, b.Digest))
	})
	return all, nil
}

// Find returns the digest in the store that begins with what a user typed, with or without "sha256:".
func (s *Store) Find(typed string) (Digest, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	begins := strings.TrimPrefix(typed, algorithm)
	var found []Digest
	for _, i := range all {
		if begins != "" && strings.HasPrefix(i.Digest.Hex(), begins) && !slices.Contains(found, i.Digest) {
			found = append(found, i.Digest)
		}
	}
	switch len(found) {
	case 0:
		return "", hint.With(fmt.Errorf("there is no image %q", typed), "linnet vm image ls")
	case 1:
		return found[0], nil
	}
	return "", hint.With(fmt.Errorf("%q is the beginning of %d images' digests", typed, len(found)), "type more of it: linnet vm image ls")
}

// Remove removes an image and what has come of it.
func (s *Store) Remove(ctx context.Context, d Digest, note Note) error {
	return s.locked(ctx, note, func() error { return s.remove(d) })
}

func (s *Store) remove(d Digest) error {
	return errors.Join(host.RemoveTree(s.Dir(d)), host.RemoveTree(s.unfinished(d)), s.removePart(d))
}

func (s *Store) removePart(d Digest) error {
	err := gone(os.Remove(s.layout.ImagePart(d.Hex())))
	return errors.Join(err, gone(os.Remove(s.layout.ImageOrigin(d.Hex()))))
}

// gone takes it for done when there is nothing to remove any more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Prune removes every image that keep does not want, and what has come of others.
func (s *Store) Prune(ctx context.Context, keep func(Digest) bool) error {
	return s.locked(ctx, nil, func() error {
		all, err := s.List()
		for _, i := range all {
			if !keep(i.Digest) {
				err = errors.Join(err, s.remove(i.Digest))
			}
		}
		return err
	})
}

// locked does something while this process is the one that changes the store.
func (s *Store) locked(ctx context.Context, note Note, do func() error) error {
	if err := host.MakeDir(s.layout.Images()); err != nil {
		return host.HomeError(s.layout.Home, err)
	}
	lock, err := host.TryLock(s.layout.ImagesLock())
	if errors.Is(err, host.ErrLocked) {
		note.tell("waiting for another command that has the images")
		lock, err = host.Lock(ctx, s.layout.ImagesLock())
	}
	if err != nil && ctx.Err() == nil {
		return host.HomeError(s.layout.Home, err)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	return do()
}

// unfinished is the directory of an image that is being unpacked.
func (s *Store) unfinished(d Digest) string { return s.Dir(d) + ".new" }
