package lens_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/gather"
)

// today is when fixtures are looked at.
var today = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// project writes a fixture's files below a directory, and returns what is found in them. The home directory is "home" in it.
func project(t *testing.T, archive *txtar.Archive, prefix string) []lens.Finding {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		name, ok := strings.CutPrefix(f.Name, prefix+"/")
		if !ok {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, c, err := gather.Host{Dir: dir, Home: filepath.Join(dir, "home"), Today: today}.Read(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return lens.Run(p, c)
}

// of are the findings of one check, as a fixture has them: with the questions.
func of(all []lens.Finding, id string) string {
	var b strings.Builder
	for _, f := range all {
		if f.ID == id {
			place := fmt.Sprintf("%s:%d", f.File, f.Line)
			if f.Image != nil {
				place = fmt.Sprintf("%s layer %d, %d bytes, line %d", f.File, f.Image.Layer, f.Image.Bytes, f.Image.Line)
			}
			fmt.Fprintf(&b, "%s: %s %s %s %s\n    fix: %s\n", place, f.Level, f.ID, f.Text, f.Questions, f.Fix)
		}
	}
	return b.String()
}

// Each check has a fixture in which it finds what it says, word for word, and one in which it finds nothing.
func TestEachCheckHasItsFixtures(t *testing.T) {
	var known []string
	for _, c := range lens.Checks() {
		known = append(known, c.ID+".txtar")
		t.Run(c.ID, func(t *testing.T) {
			path := filepath.Join("testdata", "checks", c.ID+".txtar")
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatalf("the check has no fixture: %v", err)
			}
			last := &archive.Files[len(archive.Files)-1]
			look := project
			if c.LooksAt() == "image" {
				look = imageOf
			}
			got := of(look(t, archive, "bad"), c.ID)
			if got == "" {
				t.Error("nothing is found in the bad one")
			}
			if os.Getenv("UPDATE") != "" {
				last.Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(last.Data); got != want || last.Name != "want" {
				t.Errorf("found\n%swant\n%s", got, want)
			}
			if got := of(look(t, archive, "good"), c.ID); got != "" {
				t.Errorf("found in the good one:\n%s", got)
			}
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "checks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(known, f.Name()) {
			t.Errorf("there is no check for %s", f.Name())
		}
	}
}

// Each check says why, what to do, and which practice asks for it; ids are unique.
func TestEachCheckIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range lens.Checks() {
		if c.ID == "" || c.Title == "" || c.Level == lens.Off || c.Why == "" || c.Fix == "" || seen[c.ID] {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
	}
}

// Projects as they are: in good ones there is no error and hardly a warning, and all that is found in each, BuildKit's rules included, is known.
func TestProjects(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "projects", "*.txtar"))
	if err != nil || len(files) < 9 {
		t.Fatalf("%d projects, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(archive.Files[0].Name, "/")
			all := project(t, archive, kind)
			var b strings.Builder
			if err := lens.Text(&b, all, false); err != nil {
				t.Fatal(err)
			}
			last := &archive.Files[len(archive.Files)-1]
			if os.Getenv("UPDATE") != "" {
				last.Data = []byte(b.String())
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.String(); got != string(last.Data) {
				t.Errorf("found\n%swant\n%s", got, last.Data)
			}
			if kind == "good" && lens.Worst(all) == lens.Error {
				t.Errorf("a good project has an error:\n%s", b.String())
			}
		})
	}
}
