package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
	bare := opened(t, dir, nil)
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

// opened is a folder that is closed when the test ends.
func opened(t testing.TB, dir string, lost func(error)) folder {
	t.Helper()
	f, err := openFolder(dir, lost)
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
	dir := files(t, map[string]string{"link": "->/etc/passwd", "to": "->sub", "sub/file": "", "out": "->/etc"})
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
		"reading the build context: link: a link took its place while it was read", "reading the build context: pipe: not a regular file",
		"reading the build context: out/passwd: a link took its place while it was read", "reading the build context: half: unexpected EOF",
	}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// What is listed is what fsutil lists by paths: the same files, in the same order, each described the same.
func TestFoldersAreListedAsByPaths(t *testing.T) {
	dir := files(t, map[string]string{"b/c/d": "x", "a": "y", "b.txt": "", "link": "->a", "out": "->/etc/passwd", "b/loop": "->.."})
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
	top := files(t, map[string]string{"in/a": "", "in/sub/file": "", "secret/file": "", "secret/more": ""})
	dir, sub := filepath.Join(top, "in"), filepath.Join(top, "in", "sub")
	var seen []string
	err := opened(t, dir, nil).Walk(t.Context(), "/", func(path string, _ fs.DirEntry, err error) error {
		seen = append(seen, path)
		if path == "sub" && err == nil {
			return errors.Join(os.RemoveAll(sub), os.Symlink("../secret", sub))
		}
		return err
	})
	want := "open " + sub + ": a link took its place while it was read"
	if err == nil || err.Error() != want || !slices.Equal(seen, []string{"a", "sub", "sub"}) {
		t.Errorf("seen %q, %v, want %s", seen, err, want)
	}
}

// Names that take too long to match end the walk, however few files there are.
func TestMatchingHasAnEnd(t *testing.T) {
	all := map[string]string{}
	for i := range 200 {
		all[strings.Repeat("a", 200)+fmt.Sprint(i)] = ""
	}
	var patterns []string
	for i := range 400 {
		patterns = append(patterns, strings.Repeat("*a", 60)+fmt.Sprint(i)+"b")
	}
	var told error
	lost := func(err error) { told = err }
	tree, err := fsutil.NewFilterFS(measured{opened(t, files(t, all), lost), len(patterns), lost}, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	err = tree.Walk(t.Context(), "/", func(string, fs.DirEntry, error) error { return nil })
	if took := time.Since(begun); told == nil || !errors.Is(err, told) || took > 10*matchOnce {
		t.Errorf("%v after %v, told %v", err, took, told)
	}
	const want = "reading the build context: its 400 patterns take too long to match"
	if told != nil && told.Error() != want {
		t.Errorf("%v, want %s", told, want)
	}
}

// BenchmarkWalk is of 100,000 files in 1,000 directories: below a descriptor, and by paths as fsutil does it.
func BenchmarkWalk(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		in := filepath.Join(dir, "src", fmt.Sprint("package-", i), "lib")
		if err := os.MkdirAll(in, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("file-%d.js", j)), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	byPaths, err := fsutil.NewFS(dir)
	if err != nil {
		b.Fatal(err)
	}
	below := opened(b, dir, nil)
	for _, c := range []struct {
		name string
		tree fsutil.FS
	}{{"below", measured{below, 0, nil}}, {"paths", byPaths}} {
		for _, open := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/open=%v", c.name, open), func(b *testing.B) {
				for b.Loop() {
					err := c.tree.Walk(b.Context(), "/", func(path string, e fs.DirEntry, err error) error {
						if err == nil {
							_, err = e.Info()
						}
						if err != nil || !open || e.IsDir() {
							return err
						}
						f, err := c.tree.Open(path)
						if err == nil {
							err = f.Close()
						}
						return err
					})
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
