package build

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/build/options"
)

// built is a job that has come to its end.
func built(t *testing.T, o options.Options) *job {
	t.Helper()
	return &job{dir: o.Context, options: o}
}

func TestABuildIsRememberedOnceAndTheOldestAreForgotten(t *testing.T) {
	s := Session{TokenDir: t.TempDir(), Host: options.Host{Dir: "/work"}}
	dir := t.TempDir()
	files := func() []string {
		all, err := filepath.Glob(filepath.Join(s.TokenDir, "recent", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	o := options.Options{Context: dir, Target: "app", NoCache: true, Pull: true, Tags: []string{"app"}, Secrets: []options.Secret{{ID: "npm", File: "~/.npmrc"}}}
	s.remember(built(t, o))
	first := files()
	if len(first) != 1 {
		t.Fatalf("there is %q", first)
	}
	if info, err := os.Stat(first[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("build arguments may be read by others: %v, %v", info.Mode(), err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(first[0], long, long); err != nil {
		t.Fatal(err)
	}
	o.Tags = []string{"other"} // what is cached is the same
	s.remember(built(t, o))
	if got := files(); !slices.Equal(got, first) {
		t.Errorf("the same build again makes it %q", got)
	}
	got := s.recent("")
	if len(got) != 1 || got[0].Dir != "/work" || got[0].Options.Target != "app" || got[0].Options.NoCache || got[0].Options.Pull || got[0].Options.Tags != nil || time.Since(got[0].built) > time.Minute {
		t.Errorf("it is remembered as %+v", got)
	}
	for i := range mostRecent + 2 {
		s.remember(built(t, options.Options{Context: dir, Target: strconv.Itoa(i)}))
	}
	if got := files(); len(got) != mostRecent {
		t.Errorf("%d builds are remembered", len(got))
	}
}

func TestWhatCannotBeBuiltAgainIsNotRemembered(t *testing.T) {
	s := Session{TokenDir: t.TempDir()}
	dir := t.TempDir()
	for _, o := range []options.Options{
		{Context: ""}, // fetched, or from standard input
		{Context: dir, File: "-"},
		{Context: dir, Request: "outline"},
	} {
		s.remember(built(t, o))
	}
	gone := filepath.Join(dir, "gone")
	s.remember(built(t, options.Options{Context: gone}))
	if got := s.recent(""); len(got) != 0 {
		t.Errorf("there is %+v", got)
	}
	Session{}.remember(built(t, options.Options{Context: dir})) // nowhere to write it
}

func TestTheSameBuildInAnotherCheckoutHasTheSameTag(t *testing.T) {
	a := options.Options{Context: "/home/ada/shop", Project: "example.com/shop", File: "/home/ada/shop/Dockerfile.prod", Args: map[string]string{"A": "1", "B": "2"}}
	b := a
	b.Context, b.File = "/builds/17", "/builds/17/Dockerfile.prod"
	tag := func(o options.Options) string { return recipe{Options: o}.tag() }
	if tag(a) != tag(b) {
		t.Error("the path tells them apart")
	}
	for _, other := range []options.Options{
		{Context: a.Context, Project: a.Project, File: a.File},
		{Context: a.Context, Project: "example.com/desk", File: a.File, Args: a.Args},
		{Context: a.Context, Project: a.Project, File: a.File, Args: a.Args, Target: "test"},
		{Context: a.Context, Project: a.Project, File: a.File, Args: a.Args, Platforms: []string{"linux/arm64"}},
	} {
		if tag(other) == tag(a) {
			t.Errorf("%+v is the same", other)
		}
	}
}
