package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/deps"
)

// house is a repository with two components, a cache and a prefix, and a fake Go.
type house struct {
	t     *testing.T
	state string // of the fake Go
	log   *bytes.Buffer
	b     *builder
	one   deps.Component
	two   deps.Component
}

func newHouse(t *testing.T) *house {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A unix socket's path is short; the directories of t.TempDir need not be.
	state, err := os.MkdirTemp("", "fakego")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	t.Setenv(fakeGoEnv, state)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // else the race detector makes each process linger for a second
	root := t.TempDir()
	h := &house{t: t, state: state, log: &bytes.Buffer{}}
	h.b = &builder{
		modules: filepath.Join(root, "deps"), prefix: filepath.Join(root, "prefix"), cache: filepath.Join(root, "cache"),
		goos: "linux", goarch: runtime.GOARCH, goCommand: self, log: h.log,
	}
	h.one = deps.Component{
		Name: "one", Version: "v1.0.0", Module: "example.com/one", Stamp: "example.com/one.Version",
		Programs: []deps.Program{{Package: "cmd/a", To: "bin/a"}, {Package: "cmd/b", To: "bin/b"}},
	}
	h.two = deps.Component{
		Name: "two", Version: "v2.0.0", Module: "example.com/two",
		Programs: []deps.Program{{Package: ".", To: "cni/c"}},
	}
	h.write("deps/one/go.mod", "module one")
	h.write("deps/two/go.mod", "module two")
	return h
}

func (h *house) write(name, content string) {
	h.t.Helper()
	if err := write(filepath.Join(filepath.Dir(h.b.modules), filepath.FromSlash(name)), content); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) set(name, content string) {
	h.t.Helper()
	if err := write(filepath.Join(h.state, name), content); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) unset(name string) {
	h.t.Helper()
	if err := os.Remove(filepath.Join(h.state, name)); err != nil {
		h.t.Fatal(err)
	}
}

// install runs the builder and returns what it built.
func (h *house) install() []string {
	h.t.Helper()
	if err := h.b.install(h.t.Context(), []deps.Component{h.one, h.two}); err != nil {
		h.t.Fatalf("install: %v\n%s", err, h.log)
	}
	return h.builds()
}

// builds are the import paths that were built since the last call.
func (h *house) builds() []string {
	h.t.Helper()
	name := filepath.Join(h.state, "builds")
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		h.t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// tree is every file below dir but the lock.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			names = append(names, strings.TrimPrefix(filepath.ToSlash(name), filepath.ToSlash(dir)+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (h *house) want(what string, got, want []string) {
	h.t.Helper()
	if !slices.Equal(got, want) {
		h.t.Errorf("%s: got %q, want %q\n%s", what, got, want, h.log)
	}
}

var (
	oneBuilds  = []string{"example.com/one/cmd/a", "example.com/one/cmd/b"}
	twoBuilds  = []string{"example.com/two"}
	everything = slices.Concat(oneBuilds, twoBuilds)
	prefixTree = []string{"bin/a", "bin/b", "cni/c", "manifest.json"}
)

func TestSecondRunBuildsNothing(t *testing.T) {
	h := newHouse(t)
	h.want("first run", h.install(), everything)
	h.want("prefix", tree(t, h.b.prefix), prefixTree)
	h.log.Reset()
	h.want("second run", h.install(), nil)
	if got := h.log.String(); !strings.HasPrefix(got, "deps: nothing to do: 2 components in "+h.b.prefix+" as pinned (") {
		t.Errorf("second run says %q", got)
	}
}

func TestChangedPinRebuildsThatComponentOnly(t *testing.T) {
	h := newHouse(t)
	h.install()
	h.one.Version = "v1.0.1"
	h.want("after a new version", h.install(), oneBuilds)
	text, err := os.ReadFile(filepath.Join(h.b.prefix, "bin", "a"))
	if err != nil || !strings.Contains(string(text), "example.com/one.Version=v1.0.1") {
		t.Errorf("installed program: %q, %v", text, err)
	}
	h.one.Version = "v1.0.0"
	h.want("back to the old version, from the cache", h.install(), nil)
	h.write("deps/two/go.sum", "a digest")
	h.want("after a change in a component's module", h.install(), twoBuilds)
}

func TestNewGoRebuildsAll(t *testing.T) {
	h := newHouse(t)
	h.install()
	h.set("version", "go2.0")
	h.want("after a new Go", h.install(), everything)
}

func TestProgramThatIsNoLongerMadeIsRemoved(t *testing.T) {
	h := newHouse(t)
	h.install()
	h.one.Programs = h.one.Programs[:1]
	h.install()
	h.want("prefix", tree(t, h.b.prefix), []string{"bin/a", "cni/c", "manifest.json"})
}

func TestLostOrOverwrittenProgramIsRestored(t *testing.T) {
	h := newHouse(t)
	h.install()
	a := filepath.Join(h.b.prefix, "bin", "a")
	want, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	h.want("after a loss, from the cache", h.install(), nil)
	// Written in place: through the hard link this damages the cache as well.
	if err := os.WriteFile(a, []byte("something else"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.want("after damage", h.install(), oneBuilds)
	if got, err := os.ReadFile(a); err != nil || !bytes.Equal(got, want) {
		t.Errorf("restored program: %q, %v", got, err)
	}
}

func TestCacheServesASecondPrefix(t *testing.T) {
	h := newHouse(t)
	h.install()
	h.b.prefix += "-2"
	h.want("second prefix", h.install(), nil)
	h.want("second prefix", tree(t, h.b.prefix), prefixTree)
}

func TestTornManifestMeansInstallAnew(t *testing.T) {
	h := newHouse(t)
	h.install()
	if err := os.WriteFile(filepath.Join(h.b.prefix, manifestName), []byte(`{"components":[{"comp`), 0o644); err != nil {
		t.Fatal(err)
	}
	h.want("after a torn manifest", h.install(), nil)
	h.log.Reset()
	h.install()
	if !strings.Contains(h.log.String(), "nothing to do") {
		t.Errorf("the run after says %q", h.log)
	}
}

func TestFailedBuildNamesComponentAndLeavesNothing(t *testing.T) {
	h := newHouse(t)
	h.set("fail", "example.com/one/cmd/b")
	err := h.b.install(t.Context(), []deps.Component{h.two, h.one})
	want := "one: building bin/b: exit status 1\nmain.go:1:1: it does not compile"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	h.builds()
	h.want("prefix", tree(t, h.b.prefix), []string{"cni/c", "manifest.json"})
	for _, name := range tree(t, h.b.cache) {
		if !strings.HasPrefix(name, "two-v2.0.0-") {
			t.Errorf("the cache holds %s", name)
		}
	}
	h.unset("fail")
	h.want("the run after", h.install(), oneBuilds)
}

func TestCgoIsNotCrossBuilt(t *testing.T) {
	h := newHouse(t)
	h.one.Cgo = true
	h.b.goarch = "riscv64"
	err := h.b.install(t.Context(), []deps.Component{h.two, h.one})
	want := "one: needs cgo and cannot be built for riscv64 on " + runtime.GOARCH
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	h.want("built before it was noticed", h.builds(), nil)
}

func TestMissingNeedNamesThePackage(t *testing.T) {
	h := newHouse(t)
	h.one.Needs = []deps.Need{{Command: "linnet-no-such-command", Debian: "some-package"}}
	err := h.b.install(t.Context(), []deps.Component{h.one})
	hint := new(hintError)
	if !errors.As(err, &hint) {
		t.Fatalf("got %v, want an error with a hint", err)
	}
	if got, want := hint.Error(), "one needs linnet-no-such-command, which is not installed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := hint.hint, "apt-get install some-package"; got != want {
		t.Errorf("hint: got %q, want %q", got, want)
	}
}

func TestEveryInputIsInTheKey(t *testing.T) {
	fresh := func() inputs {
		return inputs{
			Component: deps.Component{Name: "one", Version: "v1.0.0"},
			Commands:  []command{{File: "bin/a", Args: []string{"build"}, Env: []string{"GOOS=linux"}, From: "example.com/a"}},
			Files:     map[string]string{"go.mod": "1", "go.sum": "2"},
			Toolchain: map[string]string{"GOVERSION": "go1.0", "library libseccomp": "2.5.4"},
		}
	}
	if a, b := fresh(), fresh(); a.key() != b.key() {
		t.Fatal("the key of equal inputs differs")
	}
	seen := map[string]string{fresh().key(): "nothing"}
	for what, change := range map[string]func(*inputs){
		"version":    func(in *inputs) { in.Component.Version = "v1.0.1" },
		"flags":      func(in *inputs) { in.Commands[0].Args = []string{"build", "-race"} },
		"target":     func(in *inputs) { in.Commands[0].Env = []string{"GOOS=darwin"} },
		"go.mod":     func(in *inputs) { in.Files["go.mod"] = "3" },
		"a new file": func(in *inputs) { in.Files["stub/stub.go"] = "4" },
		"Go":         func(in *inputs) { in.Toolchain["GOVERSION"] = "go1.1" },
		"libseccomp": func(in *inputs) { in.Toolchain["library libseccomp"] = "2.6.0" },
	} {
		in := fresh()
		change(&in)
		if other, ok := seen[in.key()]; ok {
			t.Errorf("the key is the same after changing %s and %s", what, other)
		}
		seen[in.key()] = what
	}
}

func TestCommands(t *testing.T) {
	c := deps.Component{
		Name: "one", Version: "v1.0.0", Module: "example.com/one", Stamp: "example.com/one/v.V", Cgo: true, Tags: []string{"x"},
		Programs: []deps.Program{{Package: ".", To: "bin/a"}, {Package: "cmd/b", To: "share/b-{machine}", Tags: []string{"y"}, OS: "linux"}},
	}
	want := []command{
		{
			"bin/a",
			[]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X example.com/one/v.V=v1.0.0", "-tags=x"},
			[]string{"GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=1"},
			"example.com/one",
		},
		{
			"share/b-aarch64",
			[]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X example.com/one/v.V=v1.0.0", "-tags=x,y"},
			[]string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=1"},
			"example.com/one/cmd/b",
		},
	}
	if got := commands(c, "darwin", "arm64"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestChoose(t *testing.T) {
	all := []deps.Component{{Name: "engine", Hosts: []deps.Host{deps.Linux}}, {Name: "machine", Hosts: []deps.Host{deps.VM}}}
	for _, test := range []struct {
		names []string
		host  deps.Host
		want  string
	}{
		{nil, deps.Linux, "engine"},
		{nil, deps.VM, "machine"},
		{[]string{"machine"}, deps.Linux, "machine"},
		{[]string{"machine", "engine"}, deps.Linux, "engine machine"},
		{[]string{"engin"}, deps.Linux, `no component is called "engin"`},
	} {
		chosen, err := choose(all, test.names, func(c deps.Component) bool { return c.For(test.host) })
		var got []string
		for _, c := range chosen {
			got = append(got, c.Name)
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("choose(%q, %s): got %q, want %q", test.names, test.host, got, test.want)
		}
	}
}

func TestToolsComeFromTheModuleThatHoldsThem(t *testing.T) {
	var mod goMod
	text := `{"Tool": [{"Path": "example.com/m/cmd/x"}, {"Path": "example.com/m/cmd/nested"}],
		"Require": [{"Path": "example.com/m", "Version": "v1.0.0"}, {"Path": "example.com/m/cmd/nested", "Version": "v2.0.0"}]}`
	if err := json.Unmarshal([]byte(text), &mod); err != nil {
		t.Fatal(err)
	}
	got, err := mod.tools(nil)
	want := []deps.Component{
		{Name: "x", Version: "v1.0.0", Module: "example.com/m", Programs: []deps.Program{{Package: "cmd/x", To: "bin/x"}}},
		{Name: "nested", Version: "v2.0.0", Module: "example.com/m/cmd/nested", Programs: []deps.Program{{Package: "", To: "bin/nested"}}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := mod.tools([]string{"y"}); err == nil || err.Error() != `no tool is called "y"` {
		t.Errorf("unknown tool: %v", err)
	}
}
