package build

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tonistiigi/fsutil"
)

// A file that vanishes between being listed and being looked at is left out, and nothing else is.
func TestAFileThatVanishesTakesNoneAlong(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c", "sub/d", "sub/e"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	on, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	bare := folder{on, dir, nil}
	filtered, err := fsutil.NewFilterFS(bare, &fsutil.FilterOpt{ExcludePatterns: []string{"z", "!z/y"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tree := range map[string]fsutil.FS{"bare": bare, "filtered": filtered} {
		for _, path := range []string{"b", "sub/d"} {
			if err := os.WriteFile(filepath.Join(dir, path), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		next := map[string]string{"a": "b", "sub": "sub/d"} // in the order of names
		var seen []string
		err = tree.Walk(t.Context(), "/", func(path string, entry fs.DirEntry, err error) error {
			if err == nil && next[path] != "" {
				err = os.Remove(filepath.Join(dir, next[path]))
			}
			if err == nil {
				_, err = entry.Info()
			}
			if err == nil {
				seen = append(seen, path)
			}
			return err
		})
		// The files of sub are listed after it was seen.
		if want := []string{"a", "c", "sub", "sub/e"}; err != nil || !slices.Equal(seen, want) {
			t.Errorf("%s: seen %q, %v, want %q", name, seen, err, want)
		}
	}
}

type closed struct{ fsutil.FS }

func (closed) Open(path string) (io.ReadCloser, error) {
	if path == "gone" {
		return nil, &fs.PathError{Op: "open", Path: "/home/" + path, Err: fs.ErrNotExist}
	}
	return nil, &fs.PathError{Op: "open", Path: "/home/" + path, Err: fs.ErrPermission}
}

func (closed) Walk(context.Context, string, fs.WalkDirFunc) error { return nil }

type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// What cannot be read is told, and what is gone is not.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	var told []string
	lost := func(err error) { told = append(told, err.Error()) }
	f := folder{closed{}, t.TempDir(), lost}
	for _, path := range []string{"it", "gone"} {
		if _, err := f.Open(path); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
	if _, err := io.ReadAll(sent{io.NopCloser(torn{}), "half", lost}); err == nil {
		t.Error("half was read")
	}
	if want := []string{"reading the build context: it: permission denied", "reading the build context: half: unexpected EOF"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
