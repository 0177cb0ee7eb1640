package build

import (
	"context"
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
	fstypes "github.com/tonistiigi/fsutil/types"
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
		"reading the build context: link: something else took its place while it was read", "reading the build context: pipe: not a regular file",
		"reading the build context: out/passwd: something else took its place while it was read", "reading the build context: half: unexpected EOF",
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
			dir := files(t, map[string]string{"a": "", "file": "", "sub/b": "", "link": "->a", "z": ""})
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

// manyNames is a tree of files that are nowhere.
type manyNames struct {
	fsutil.FS
	names int
	name  string
}

func (m manyNames) Walk(_ context.Context, _ string, fn fs.WalkDirFunc) error {
	for i := range m.names {
		path := fmt.Sprint(m.name, i)
		if err := fn(path, &fsutil.DirEntryInfo{Stat: &fstypes.Stat{Path: path}}, nil); err != nil {
			return err
		}
	}
	return nil
}

// match walks names that are matched with patterns, and returns what was told.
func match(t *testing.T, names manyNames, patterns []string, most effort) (seen int, told error) {
	t.Helper()
	lost := func(err error) { told = err }
	tree, err := fsutil.NewFilterFS(measured{names, patterns, most, lost}, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		t.Fatal(err)
	}
	err = tree.Walk(t.Context(), "/", func(string, fs.DirEntry, error) error { seen++; return nil })
	if !errors.Is(err, told) {
		t.Errorf("%v, told %v", err, told)
	}
	return seen, told
}

func repeated(n int, pattern string) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(pattern, i))
	}
	return all
}

// Names that take too long to match end the walk, however few files there are.
func TestMatchingHasAnEnd(t *testing.T) {
	patterns := repeated(100, strings.Repeat("*a", 60)+"%db")
	most := effort{5_000_000, 10 * time.Millisecond}
	seen, err := match(t, manyNames{names: 200, name: strings.Repeat("a", 200)}, patterns, most)
	const want = "reading the build context: its 100 patterns take too long to match"
	if err == nil || err.Error() != want || seen > 10 {
		t.Errorf("%v after %d names, want %s", err, seen, want)
	}
}

// What sane projects ask for has no end, however slow the machine; nor have very many patterns that are simple.
func TestMatchingThatIsSaneHasNoEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("it matches for seconds")
	}
	const slowest = -time.Hour // whatever time is allowed has passed
	for what, c := range map[string]struct {
		names    manyNames
		patterns []string
		most     effort
	}{
		"500 patterns, 1,000 names": {manyNames{names: 1_000, name: "f"}, repeated(500, "**/x%d/*.y"), effort{0, slowest}},
		"long ones":                 {manyNames{names: 40, name: "src/package/with/a/name/that/is/long/lib/file"}, repeated(500, "**/directory-%d/*.y"), effort{0, slowest}},
		"10,000 simple patterns":    {manyNames{names: 50, name: "src/package/lib/file"}, repeated(10_000, "src/directory/file-%d"), effort{0, mostMatching.time}},
	} {
		if seen, err := match(t, c.names, c.patterns, c.most); err != nil || seen != c.names.names {
			t.Errorf("%s: %v after %d names", what, err, seen)
		}
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
	}{{"below", measured{below, nil, mostMatching, nil}}, {"paths", byPaths}} {
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
