package main

import (
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/deps"
)

// What tests drive is in the list of peers alone: it is neither built with the components nor found among them.
func TestPeersAreNoComponents(t *testing.T) {
	b := &builder{modules: filepath.Join("..", "..", "e2e", "peers")}
	peers, err := b.peers(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if _, err := components([]string{p.Name}, "linux"); err == nil {
			t.Errorf("%s is a component, too", p.Name)
		}
		if one, err := b.peers([]string{p.Name}); err != nil || len(one) != 1 {
			t.Errorf("%s: %d of that name, %v", p.Name, len(one), err)
		}
	}
	if _, err := b.peers([]string{"dockerd"}); err == nil || err.Error() != `no component is called "dockerd"` {
		t.Errorf("a component among the peers: %v", err)
	}
}

// A program of ours has no version: its entry in the cache goes by its name and its content.
func TestAPeerOfOurs(t *testing.T) {
	h := newHouse(t)
	h.two = deps.Component{Name: "two", Programs: []deps.Program{{Main: ".", To: "bin/two"}}}
	h.want("first run", h.install(), slices.Concat(oneBuilds, []string{"."}))
	h.want("second run", h.install(), nil)
	h.write("deps/two/main.go", "package main")
	h.want("after a change", h.install(), []string{"."})
	entry := regexp.MustCompile(`^two-[0-9a-f]{12}/bin/two$`)
	if all := tree(t, h.b.cache); !slices.ContainsFunc(all, entry.MatchString) {
		t.Errorf("the cache holds %q", all)
	}
}

func TestCompilerFlagsAndAVersionWithoutItsMark(t *testing.T) {
	c := deps.Component{
		Name: "one", Version: "v1.0.0+incompatible", Module: "example.com/one", Stamp: "example.com/one.V", Bare: true, GCFlags: "example.com/one/...=-lang=go1.25",
		Programs: []deps.Program{{Package: "cmd/one", To: "bin/one"}},
	}
	want := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X example.com/one.V=1.0.0", "-gcflags=example.com/one/...=-lang=go1.25"}
	if got := commands(c, "linux", "amd64")[0].Args; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPrefixOfPeers(t *testing.T) {
	for arch, want := range map[string]string{runtime.GOARCH: "_output/peers", foreign(): "_output/peers-" + foreign()} {
		if got := (options{peers: true, arch: arch}).defaultPrefix("."); got != filepath.FromSlash(want) {
			t.Errorf("%s: %s, want %s", arch, got, want)
		}
	}
}
