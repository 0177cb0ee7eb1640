package localdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/tonistiigi/fsutil"

	"github.com/linnet-dev/linnet/pkg/host/hosttest"
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
	bare := opened(t, dir, nil)
	filtered, err := fsutil.NewFilterFS(bare, &fsutil.FilterOpt{ExcludePatterns: []string{"z", "!z/y"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, on := range map[string]fsutil.FS{"bare": bare, "filtered": filtered} {
		for _, path := range []string{"b", "sub/d"} {
			if err := os.WriteFile(filepath.Join(dir, path), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		next := map[string]string{"a": "b", "sub": "sub/d"} // in the order of names
		var seen []string
		err = on.Walk(t.Context(), "/", func(path string, entry fs.DirEntry, err error) error {
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

// opened is a directory that is closed when the test ends.
func opened(t testing.TB, dir string, lost func(error)) Dir {
	t.Helper()
	f, err := Open(dir, lost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// What cannot be read is told, and what is gone is not. Nothing waits for who writes a pipe.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{"link": "->/etc/passwd", "to": "->sub", "sub/file": "", "out": "->/etc"})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	var told []string
	lost := func(err error) { told = append(told, err.Error()) }
	f := opened(t, dir, lost)
	for _, path := range []string{"link", "pipe", "gone", "out/passwd"} {
		if _, err := f.Open(path); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
	if _, err := io.ReadAll(sent{io.NopCloser(torn{}), "half", lost}); err == nil {
		t.Error("half was read")
	}
	if want := []string{
		"reading the build context: link: something else took its place while it was read", "reading the build context: pipe: not a regular file",
		"reading the build context: out/passwd: something else took its place while it was read", "reading the build context: half: unexpected EOF",
	}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// What is listed is what fsutil lists by paths: the same files, in the same order, each described the same.
func TestDirectoriesAreListedAsByPaths(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{"b/c/d": "x", "a": "y", "b.txt": "", "link": "->a", "out": "->/etc/passwd", "b/loop": "->.."})
	for _, err := range []error{
		os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b", "hard")), os.Mkdir(filepath.Join(dir, "empty"), 0o700),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Chmod(filepath.Join(dir, "a"), 0o755|fs.ModeSetuid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	byPaths, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/", "b", "b/c", "link", "gone", "a"} {
		have, want := listing(t, opened(t, dir, nil), target), listing(t, byPaths, target)
		if !slices.Equal(have, want) || target == "/" && len(have) != 11 {
			t.Errorf("%s:\nhave %q\nwant %q", target, have, want)
		}
	}
	for _, follow := range [][]string{{"link"}, {"b/loop"}, {"*"}, {"out"}} {
		have, err := fsutil.FollowLinks(opened(t, dir, nil), follow)
		want, werr := fsutil.FollowLinks(byPaths, follow)
		if err != nil || werr != nil || !slices.Equal(have, want) {
			t.Errorf("%q leads to %q, %v, want %q, %v", follow, have, err, want, werr)
		}
	}
}

func listing(t *testing.T, tree fsutil.FS, target string) (all []string) {
	t.Helper()
	err := tree.Walk(t.Context(), target, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		all = append(all, fmt.Sprintf("%s %v %v %+v", path, e.Type().Type(), e.IsDir(), info.Sys()))
		return err
	})
	if err != nil {
		t.Errorf("%s: %v", target, err)
	}
	return all
}

// A directory of which another is made while it is walked: what the link leads to is not sent.
func TestALinkInTheWayIsNotFollowed(t *testing.T) {
	top := hosttest.Files(t, map[string]string{"in/a": "", "in/sub/file": "", "secret/file": "", "secret/more": ""})
	dir, sub := filepath.Join(top, "in"), filepath.Join(top, "in", "sub")
	var seen []string
	err := opened(t, dir, nil).Walk(t.Context(), "/", func(path string, _ fs.DirEntry, err error) error {
		seen = append(seen, path)
		if path == "sub" && err == nil {
			return errors.Join(os.RemoveAll(sub), os.Symlink("../secret", sub))
		}
		return err
	})
	want := "open " + sub + ": something else took its place while it was read"
	if err == nil || err.Error() != want || !slices.Equal(seen, []string{"a", "sub", "sub"}) {
		t.Errorf("seen %q, %v, want %s", seen, err, want)
	}
}

// What is a directory no longer, or has become one, when it is looked at ends the walk: BuildKit would be sent files in
// what it knows as a link, or an empty directory.
func TestWhatTookTheirPlaceIsNotSent(t *testing.T) {
	for _, now := range []string{"sub", "link", "file"} {
		for _, was := range []string{"sub", "link", "file"} {
			dir := hosttest.Files(t, map[string]string{"a": "", "file": "", "sub/b": "", "link": "->a", "z": ""})
			w := opened(t, dir, nil)
			var seen []string
			err := w.Walk(t.Context(), "/", func(path string, entry fs.DirEntry, err error) error {
				if path == "a" && was != now {
					one, other, between := filepath.Join(dir, was), filepath.Join(dir, now), filepath.Join(t.TempDir(), "between")
					err = errors.Join(os.Rename(one, between), os.Rename(other, one), os.Rename(between, other))
				}
				if err == nil {
					_, err = entry.Info()
				}
				seen = append(seen, path)
				return err
			})
			same := (was == "sub") == (now == "sub")
			if same != (err == nil) || !same && !errors.Is(err, errReplaced) || same != slices.Contains(seen, "z") {
				t.Errorf("%s in the place of %s: seen %q, %v", was, now, seen, err)
			}
		}
	}
}

// Files are read as they would be found in a copy of the directory.
func TestFilesAreThoseOfTheDirectory(t *testing.T) {
	top := hosttest.Files(t, map[string]string{"out": "outside", "in/real": "inside", "in/deep/x": ""})
	dir := filepath.Join(top, "in")
	for link, target := range map[string]string{"link": "real", "absolute": "/real", "outside": "../out", "gone": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := opened(t, dir, func(err error) { t.Errorf("the build is called off: %v", err) })
	for name, want := range map[string]string{"real": "real", "link": "real", "absolute": "real", "deep/x": "deep/x"} {
		if got, err := f.file(name); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"outside", "gone", "none", "pipe", "deep"} {
		_, err := f.file(name)
		var path *fs.PathError
		if !errors.As(err, &path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
