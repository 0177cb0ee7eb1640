package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
)

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
	below, err := localdir.Open(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer below.Close()
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
