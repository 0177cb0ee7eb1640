package deps

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T) []Component {
	t.Helper()
	all, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// peers is where the programs are that tests alone drive.
var peers = filepath.Join("..", "e2e", "peers")

func loadPeers(t *testing.T) []Component {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(peers, "peers.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := ParsePeers(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestModulesBuildWhatTheDataFileSays holds each component's go.mod to components.yaml, and each peer's to peers.yaml, so
// that a pin cannot be moved in one of them alone.
func TestModulesBuildWhatTheDataFileSays(t *testing.T) {
	for _, c := range load(t) {
		t.Run(c.Name, func(t *testing.T) { holdModule(t, c, c.Name, "deps/"+c.Name) })
	}
	for _, c := range loadPeers(t) {
		if c.Module != "" { // else it is a package of ours
			t.Run(c.Name, func(t *testing.T) { holdModule(t, c, filepath.Join(peers, c.Name), "e2e/peers/"+c.Name) })
		}
	}
}

// holdModule compares the module in a directory with what is pinned.
func holdModule(t *testing.T, c Component, dir, name string) {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Module  struct{ Path string }
		Tool    []struct{ Path string }
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if want := "github.com/linnet-dev/linnet/" + name; mod.Module.Path != want {
		t.Errorf("module is %s, want %s", mod.Module.Path, want)
	}
	var version string
	for _, r := range mod.Require {
		if r.Path == c.Module {
			version = r.Version
		}
	}
	if version != c.Version {
		t.Errorf("go.mod has %s %q, pinned is %q", c.Module, version, c.Version)
	}
	var got, want []string
	for _, tool := range mod.Tool {
		got = append(got, tool.Path)
	}
	for _, p := range c.Programs {
		if p.Main == "" {
			want = append(want, c.Source(p))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("go.mod's tools are %q, the component's programs are %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.sum")); err != nil {
		t.Errorf("the digests of what goes in: %v", err)
	}
}

// TestEveryModuleIsAComponent finds a module that nothing builds any more.
func TestEveryModuleIsAComponent(t *testing.T) {
	components := []string{"tools"} // the developers' own
	for _, c := range load(t) {
		components = append(components, c.Name)
	}
	var others []string
	for _, c := range loadPeers(t) {
		if c.Module != "" {
			others = append(others, c.Name)
		}
	}
	for dir, known := range map[string][]string{".": components, peers: others} {
		mods, err := filepath.Glob(filepath.Join(dir, "*", "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		for _, mod := range mods {
			if name := filepath.Base(filepath.Dir(mod)); !slices.Contains(known, name) {
				t.Errorf("%s is a module but no component", filepath.Dir(mod))
			}
		}
		if len(mods) != len(known) {
			t.Errorf("%s: there are %d modules, want %d", dir, len(mods), len(known))
		}
	}
}

func TestNativeEngineIsComplete(t *testing.T) {
	var files []string
	for _, c := range load(t) {
		if !c.For(Linux) {
			continue
		}
		for _, p := range c.Programs {
			files = append(files, p.File("amd64"))
		}
	}
	for _, want := range []string{
		"bin/nerdctl", "bin/containerd", "bin/containerd-shim-runc-v2", "bin/ctr", "bin/runc", "bin/buildkitd", "bin/buildctl",
		"bin/rootlesskit", "bin/dockerd", "bin/docker-proxy", "cni/bridge", "cni/loopback", "cni/host-local", "cni/portmap", "cni/firewall", "cni/tuning",
	} {
		if !slices.Contains(files, want) {
			t.Errorf("a Linux host gets no %s", want)
		}
	}
}

func TestParseReportsEveryProblem(t *testing.T) {
	_, err := Parse([]byte(`components:
  - name: one
    version: 1.0.0
    module: example.com/one
    licence: MIT
    hosts: [linux, mac]
    needs: [{debian: gcc}]
    programs: [{package: cmd/a, to: /bin/a}, {package: cmd/b, to: bin/b}]
  - name: one
    version: v1.0.0
    module: example.com/one
    hosts: [vm]
    cross: {arm64: {compiler: cc, needs: [{library: x, debian: x}]}}
    programs: [{to: bin/c}, {package: cmd/b, to: bin/b}, {package: cmd/d, to: bin/../d}]
`))
	want := `component 1 ("one"): version: "1.0.0" is not a module version
component 1 ("one"): hosts: "mac" is neither "linux" nor "vm"
component 1 ("one"): needs: one of command, library and file, and debian, must be given
component 1 ("one"): programs: to: "/bin/a" is not a file in one of bin/, cni/, share/
component 2 ("one"): name: stands twice
component 2 ("one"): module and licence must not be empty
component 2 ("one"): cross: arm64: it is for a component with cgo, and must have a compiler; needs must have one of command and file, and debian
component 2 ("one"): programs: one of package and main must be given
component 2 ("one"): programs: to: "bin/../d" is not a file in one of bin/, cni/, share/
component 2 ("one"): programs: to: "bin/b" stands twice`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestParsePeersReportsEveryProblem(t *testing.T) {
	_, err := ParsePeers([]byte(`peers:
  - {name: ours, programs: [{main: ., to: bin/ours}]}
  - name: one
    version: v1.0.0
    module: example.com/one
    hosts: [linux]
    programs: [{package: cmd/one, to: bin/another}]
`))
	want := `component 2 ("one"): module, version and licence must be given, or for a program of ours none of them
component 2 ("one"): hosts: tests alone drive it
component 2 ("one"): programs: none is bin/one`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestParseIsStrict(t *testing.T) {
	for _, text := range []string{"", "components: []", "components:\n  - called: one\n", "more: 1\n"} {
		if all, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q parsed to %+v, want an error", text, all)
		}
	}
}

func TestFileNamesTheMachine(t *testing.T) {
	p := Program{To: "share/lima/lima-guestagent.Linux-{machine}"}
	for goarch, want := range map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"} {
		if got := p.File(goarch); got != "share/lima/lima-guestagent.Linux-"+want {
			t.Errorf("%s: got %q", goarch, got)
		}
	}
}

func TestCompare(t *testing.T) {
	c := Component{
		Name: "one", Version: "v1.0.0", Module: "example.com/one",
		Programs: []Program{{Package: "cmd/a", To: "bin/a"}, {Package: "cmd/b", To: "bin/b"}},
	}
	built := func(version string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: c.Module, Version: version}}
	}
	elsewhere := func(m ...*debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Path: "example.com/ours", Version: "(devel)"}, Deps: m}
	}
	good := built("v1.0.0")
	for name, test := range map[string]struct {
		a, b  *debug.BuildInfo // nil is a file that is not there
		state State
		found string
		path  string
	}{
		"as pinned":                    {good, good, Pinned, "v1.0.0", "bin/a"},
		"as pinned, in another module": {elsewhere(&debug.Module{Path: c.Module, Version: "v1.0.0"}), good, Pinned, "v1.0.0", "bin/a"},
		"nothing there":                {nil, nil, Missing, "", "bin/a"},
		"second program missing":       {good, nil, Missing, "", "bin/b"},
		"older":                        {built("v0.9.0"), good, Different, "v0.9.0", "bin/a"},
		"second program newer":         {good, built("v1.1.0"), Different, "v1.1.0", "bin/b"},
		"from a working tree":          {built("(devel)"), good, Different, "(devel)", "bin/a"},
		"replaced by another version":  {elsewhere(&debug.Module{Path: c.Module, Version: "v1.0.0", Replace: &debug.Module{Version: "v1.2.0"}}), good, Different, "v1.2.0", "bin/a"},
		"replaced by a directory":      {elsewhere(&debug.Module{Path: c.Module, Version: "v1.0.0", Replace: &debug.Module{Path: "./x"}}), good, Different, Unknown, "bin/a"},
		"another program":              {elsewhere(), good, Different, Unknown, "bin/a"},
	} {
		t.Run(name, func(t *testing.T) {
			infos := map[string]*debug.BuildInfo{"a": test.a, "b": test.b}
			got := compare(c, nil, "prefix", "amd64", func(name string) (*debug.BuildInfo, error) {
				if info := infos[filepath.Base(name)]; info != nil {
					return info, nil
				}
				return nil, fs.ErrNotExist
			})
			want := Installed{Name: "one", Pinned: "v1.0.0", Found: test.found, State: test.state, Path: filepath.Join("prefix", filepath.FromSlash(test.path))}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestCompareDoesNotTrustWhatItCannotRead(t *testing.T) {
	c := Component{Name: "one", Version: "v1.0.0", Programs: []Program{{To: "bin/a"}}}
	got := compare(c, nil, "prefix", "amd64", func(string) (*debug.BuildInfo, error) { return nil, errors.New("not a Go program") })
	if got.State != Different || got.Found != Unknown {
		t.Errorf("got %+v, want it different and unknown", got)
	}
}

// TestInspectReadsRealPrograms takes this repository's own builder for a component: it is a Go
// program that holds a module whose version we can ask for.
func TestInspectReadsRealPrograms(t *testing.T) {
	const module = "github.com/goccy/go-yaml"
	prefix := t.TempDir()
	program := filepath.Join(prefix, "bin", "go-program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./build").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSpace(string(out))
	if err := os.WriteFile(filepath.Join(prefix, "bin", "script"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	component := func(file, version string) Component {
		return Component{Name: file, Version: version, Module: module, Programs: []Program{{To: "bin/" + file}}}
	}
	var states []string
	for _, in := range Inspect(prefix, []Component{
		component("go-program", version), component("go-program", "v0.0.1"), component("script", "v0.0.1"), component("none", "v0.0.1"),
	}, nil) {
		states = append(states, string(in.State))
	}
	if got, want := strings.Join(states, " "), "pinned different different missing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A program says which mends it was built with; one that lacks one is not what is pinned.
func TestCompareKnowsMends(t *testing.T) {
	c := Component{Name: "one", Version: "v1.0.0", Module: "example.com/one", Programs: []Program{{Main: ".", To: "bin/one"}}}
	mends := []Mend{{Name: "a-word", Module: "example.com/one"}, {Name: "unlinked", Module: "example.com/two"}}
	for path, want := range map[string]State{"./mended/a-word": Pinned, "./mended/other+a-word": Pinned, "./mended/other": Different} {
		info := &debug.BuildInfo{Deps: []*debug.Module{{Path: c.Module, Version: c.Version, Replace: &debug.Module{Path: path}}}}
		got := compare(c, mends, "prefix", "amd64", func(string) (*debug.BuildInfo, error) { return info, nil })
		if got.State != want || got.Found != c.Version || (want == Different) != slices.Equal(got.Unmended, []string{"a-word"}) {
			t.Errorf("%s: %+v, want %s", path, got, want)
		}
	}
}

// readAll is the text of all files of a pattern.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestMendsAreWhatTheyMustBe(t *testing.T) {
	all, err := Mends()
	if err != nil || len(all) < 2 {
		t.Fatalf("%d mends, %v", len(all), err)
	}
	notice, err := os.ReadFile("../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	suite := readAll(t, "../e2e/native/*_test.go")
	for _, m := range all {
		if !strings.Contains(suite, "func "+m.Test+"(") || !regexp.MustCompile(`lab\.Unmended\(t, [^)]*"`+m.Name+`"`).MatchString(suite) {
			t.Errorf("%s: no %s shows what happens without it", m.Name, m.Test)
		}
		if _, err := os.Stat(filepath.Join("mends", m.Name, "mend.go")); (err == nil) == (len(m.Edits) > 0) {
			t.Errorf("%s: one of mend.go and edits: %v", m.Name, err)
		}
		if want := m.Module + " " + m.Function; !strings.Contains(string(notice), want) {
			t.Errorf("NOTICE does not name %s", want)
		}
	}
	text := "mends:\n  - {name: A b, component: c, module: m, file: ../x.go, function: '(T).x', sha256: z, defect: d, upstream: u, test: ''}\n"
	_, err = ParseMends([]byte(text))
	for _, want := range []string{"name: ", "function: ", "file: ", "sha256: ", "test must not be empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := ParseMends([]byte("mends:\n" + strings.Repeat("  - {name: a}\n", MostMends+1))); err == nil || !strings.Contains(err.Error(), "are the most") {
		t.Errorf("%d mends: %v", MostMends+1, err)
	}
}
