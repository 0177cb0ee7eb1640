package state

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/host"
)

func TestABuildIsRememberedOnceAndTheOldestAreForgotten(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	files := func() []string {
		all, err := filepath.Glob(filepath.Join(l.RecentBuilds(), "*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	r := Recipe{Dir: "/work", Options: options.Options{Context: "/work/app", Target: "app"}}
	Remember(l, r)
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
	Remember(l, r)
	if got := files(); !slices.Equal(got, first) {
		t.Errorf("the same build again makes it %q", got)
	}
	got := Recent(l)
	if len(got) != 1 || got[0].Dir != "/work" || got[0].Options.Target != "app" || time.Since(got[0].built) > time.Minute {
		t.Errorf("it is remembered as %+v", got)
	}
	for i := range mostRecent + 2 {
		Remember(l, Recipe{Options: options.Options{Context: "/work/app", Target: strconv.Itoa(i)}})
	}
	if got := files(); len(got) != mostRecent {
		t.Errorf("%d builds are remembered", len(got))
	}
	Remember(host.Layout{}, r) // nowhere to write it
}

func TestTheSameBuildInAnotherCheckoutHasTheSameTag(t *testing.T) {
	a := options.Options{Context: "/home/ada/shop", Project: "example.com/shop", File: "/home/ada/shop/Dockerfile.prod", Args: map[string]string{"A": "1", "B": "2"}}
	b := a
	b.Context, b.File = "/builds/17", "/builds/17/Dockerfile.prod"
	tag := func(o options.Options) string { return Recipe{Options: o}.Tag() }
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
