package nerdctl_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/oracle"
	"github.com/linnet-dev/linnet/pkg/nerdctl/internal/tables"
)

// TestTablesAreGenerated from the nerdctl that is pinned now.
func TestTablesAreGenerated(t *testing.T) {
	o, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := tables.Generate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("tables_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Error("tables_gen.go is not what the pinned nerdctl says: run make update")
	}
}

// TestOracleIsBuiltOnce: the second build finds the first by its content.
func TestOracleIsBuiltOnce(t *testing.T) {
	first, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first.Program)
	if err != nil {
		t.Fatal(err)
	}
	second, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(second.Program)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("%v: %s was built again", err, second.Program)
	}
}

// TestWhatNerdctlLooksUpSteersIt: every variable that the pinned nerdctl's source looks up by
// name, or that a flag takes its default from, is on the list of names that steer it.
func TestWhatNerdctlLooksUpSteersIt(t *testing.T) {
	o, err := oracle.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := o.SourceDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	lookup := regexp.MustCompile(`(?:Getenv|LookupEnv)\("([A-Za-z0-9_]+)"\)`)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testutil" || d.Name() == "hack") {
			return errOrSkip(err)
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_windows.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range lookup.FindAllStringSubmatch(string(b), -1) {
			found[m[1]] = strings.TrimPrefix(path, dir)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defaults := regexp.MustCompile(`\[\$([A-Za-z0-9_]+)\]`)
	walk(func(path []string, c *nerdctl.Command) {
		for _, f := range c.Flags {
			for _, m := range defaults.FindAllStringSubmatch(f.Usage, -1) {
				found[m[1]] = strings.Join(path, " ") + " --" + f.Name
			}
		}
	})
	if len(found) < 20 || found["NERDCTL_TOML"] == "" || found["CONTAINERD_ADDRESS"] == "" {
		t.Errorf("too little was found: %v", found)
	}
	for name, where := range found {
		if !nerdctl.Steering(name) {
			t.Errorf("%s looks up %s", where, name)
		}
	}
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
