package options

import (
	"os"
	"path/filepath"
	"testing"
)

func TestACacheMountsWholeIDComesApart(t *testing.T) {
	for _, c := range []struct{ project, mount string }{
		{"example.com/team/shop", "/root/.cache"},
		{"example.com/team/shop//api", "go"},
		{"shop", "/var/cache/apt"},
		{"", "/root/.cache"},
		{"50% off/x", "a/b"},
	} {
		id := mountsOf(c.project) + "/" + c.mount
		if project, mount := SplitMount(id); project != c.project || mount != c.mount {
			t.Errorf("%q is %q of %q, want %q of %q", id, mount, project, c.mount, c.project)
		}
	}
	if project, mount := SplitMount("mine/go"); project != "mine" || mount != "go" {
		t.Errorf("a namespace of the user's own: %q of %q", mount, project)
	}
}

func TestAProjectIsWhatIsSaidElseTheRemoteElseComposesName(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	identify := func(o Options, shared bool) Options {
		o.Context = "."
		o.Identify(Host{Dir: dir}, shared)
		return o
	}
	if o := identify(Options{}, false); o.Project != "" || o.CacheMounts != "" {
		t.Errorf("nothing says it: %+v", o)
	}
	write("compose.yaml", "name: shop\nservices: {}\n")
	if o := identify(Options{}, false); o.Project != "shop" || o.CacheMounts != "linnet/shop" {
		t.Errorf("the compose file: project %q, mounts %q", o.Project, o.CacheMounts)
	}
	write(".git/config", "[remote \"origin\"]\n\turl = git@example.com:team/shop.git\n")
	if o := identify(Options{}, false); o.Project != "example.com/team/shop" || o.CacheMounts != "linnet/example.com%2Fteam%2Fshop" {
		t.Errorf("the remote: project %q, mounts %q", o.Project, o.CacheMounts)
	}
	if o := identify(Options{Project: "mine"}, true); o.Project != "mine" || o.CacheMounts != "" {
		t.Errorf("shared: project %q, mounts %q", o.Project, o.CacheMounts)
	}
}
