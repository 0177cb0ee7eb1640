// Package linnet_test holds the structure of the code base: who may import whom. The lint
// rules say the same while one types; this test says it of the whole graph.
package linnet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/linnet-dev/linnet/"

// allowed lists what each package of ours may import of ours. A package that is not in it
// fails the test: a new one has to find its place here first.
var allowed = map[string][]string{
	"cmd/linnet":         {"pkg/cli", "pkg/streams"},
	"cmd/linnet-build":   {"pkg/cli", "pkg/cli/buildcmd", "pkg/streams"},
	"cmd/linnet-compose": {"pkg/cli", "pkg/cli/composecmd", "pkg/streams"},
	"cmd/linnet-agent":   {"pkg/engine", "pkg/farside", "pkg/farside/portplugin"},
	"cmd/linnet-env":     {}, // steps of builds are cached by its bytes

	"pkg/cli":          {"deps", "pkg/agent", "pkg/emulate", "pkg/forward", "pkg/guest", "pkg/host", "pkg/lima", "pkg/native", "pkg/nerdctl", "pkg/registry", "pkg/relay", "pkg/report", "pkg/settings", "pkg/streams", "pkg/vm"},
	"pkg/cli/buildcmd": {"pkg/build", "pkg/cli", "pkg/host", "pkg/registry", "pkg/report", "pkg/settings", "pkg/streams"},
	"pkg/build":        {"pkg/guest", "pkg/host", "pkg/report"},
	"pkg/compose":      {"pkg/build", "pkg/host"},
	"pkg/forward":      {"pkg/guest", "pkg/nerdctl", "pkg/report", "pkg/streams"},
	"pkg/native":       {"pkg/agent", "pkg/agent/agentpb", "pkg/emulate", "pkg/guest", "pkg/host", "pkg/report"},
	"pkg/engine":       {"config", "pkg/agent", "pkg/agent/agentpb", "pkg/farside", "pkg/farside/portplugin", "pkg/host"},
	"pkg/agent":        {"pkg/agent/agentpb", "pkg/guest", "pkg/host", "pkg/report"},
	"pkg/farside":      {"pkg/agent", "pkg/agent/agentpb", "pkg/host"},

	"pkg/cli/composecmd": {"pkg/build", "pkg/cli", "pkg/cli/buildcmd", "pkg/compose", "pkg/guest", "pkg/host", "pkg/nerdctl", "pkg/registry", "pkg/settings"},

	"pkg/farside/portplugin": {"pkg/agent/agentpb"},
	"pkg/relay":              {"pkg/agent", "pkg/agent/agentpb", "pkg/host"},

	"pkg/registry": {"pkg/guest", "pkg/host"},

	"pkg/vm":   {"pkg/report"},
	"pkg/lima": {"config", "pkg/agent", "pkg/agent/agentpb", "pkg/guest", "pkg/host", "pkg/relay", "pkg/report", "pkg/vm"},

	"config":            {},
	"deps":              {},
	"pkg/agent/agentpb": {},
	"pkg/emulate":       {},
	"pkg/guest":         {},
	"pkg/host":          {},
	"pkg/nerdctl":       {},
	"pkg/report":        {},
	"pkg/settings":      {},
	"pkg/streams":       {},

	// Tests' own and tools.
	"pkg/guest/guesttest": {"pkg/guest", "pkg/host"},
	"pkg/host/hosttest":   {},
	"pkg/lima/limatest":   {"pkg/host"},
	"pkg/relay/relaytest": {},
	"pkg/vm/vmtest":       {"pkg/vm"},
}

type listed struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	Module       struct{ Path string }
	TestGoFiles  []string
	XTestGoFiles []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Module,TestGoFiles,XTestGoFiles"}, args...)...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func ours(imports []string) (own []string) {
	for _, i := range imports {
		if name, ok := strings.CutPrefix(i, module); ok {
			own = append(own, name)
		}
	}
	return own
}

func TestImportsAmongOurPackages(t *testing.T) {
	for _, p := range list(t, "./cmd/...", "./pkg/...", "./config", "./deps") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.Contains(name, "/internal/") || strings.HasPrefix(name, "deps/") {
			continue // seen by nobody but their parent
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("%s has no place in the structure: say in structure_test.go what it may import", name)
			continue
		}
		for _, i := range ours(p.Imports) {
			if !slices.Contains(may, i) && !strings.HasPrefix(i, name+"/internal/") {
				t.Errorf("%s must not import %s", name, i)
			}
		}
	}
}

func TestImportsOfOthers(t *testing.T) {
	only := map[string][]string{
		"github.com/spf13/cobra":              {"pkg/cli", "pkg/cli/buildcmd", "pkg/cli/composecmd"},
		"os/exec":                             {"pkg/host", "pkg/host/hosttest", "cmd/linnet-env"},
		"github.com/containerd/containerd/v2": {"pkg/engine", "pkg/build"},
		"github.com/moby/buildkit":            {"pkg/build"},
		"github.com/compose-spec/compose-go":  {"pkg/compose"},
		"github.com/containerd/nerdctl":       {},
		"github.com/lima-vm":                  {},
	}
	for _, p := range list(t, "./cmd/...", "./pkg/...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.Contains(name, "/internal/") {
			continue
		}
		for _, i := range p.Imports {
			for prefix, who := range only {
				if (i == prefix || strings.HasPrefix(i, prefix+"/")) && !slices.Contains(who, name) {
					t.Errorf("%s must not import %s: only %v may", name, i, who)
				}
			}
		}
	}
}

// `go test ./...` is for everybody: what needs an engine or root has the build tag e2e.
func TestSuitesHaveTheirTag(t *testing.T) {
	for _, p := range list(t, "./e2e/...") {
		if files := slices.Concat(p.TestGoFiles, p.XTestGoFiles); len(files) > 0 {
			t.Errorf("%s: %v have no //go:build e2e", p.ImportPath, files)
		}
	}
}

// The client stays thin: what only the agent needs, what builds, and what reads compose files is not
// linked into it. Nor are compose files into what builds: they cost every build's start 6 ms.
func TestClientStaysThin(t *testing.T) {
	composeFiles := []string{"github.com/compose-spec/compose-go", "github.com/santhosh-tekuri/jsonschema", module + "pkg/compose", module + "pkg/cli/composecmd"}
	engine := []string{"github.com/vishvananda/netlink", "github.com/fsnotify/fsnotify", "net/http/pprof", module + "pkg/engine"}
	builds := []string{"github.com/moby/buildkit", "github.com/docker/cli", "github.com/containerd/containerd", module + "pkg/build"}
	for program, without := range map[string][]string{
		"linnet":         slices.Concat(composeFiles, engine, builds),
		"linnet-build":   slices.Concat(composeFiles, engine),
		"linnet-compose": engine,
	} {
		for _, d := range list(t, "./cmd/"+program)[0].Deps {
			for _, heavy := range without {
				if strings.HasPrefix(d, heavy) {
					t.Errorf("%s links %s", program, d)
				}
			}
		}
	}
	// The budget of docs/architecture.md: at most 15 direct dependencies of the client.
	all := list(t, "-deps", "./cmd/linnet")
	modules, direct := map[string]string{}, map[string]bool{}
	for _, p := range all {
		modules[p.ImportPath] = p.Module.Path
	}
	for _, p := range all {
		for _, i := range p.Imports {
			m := modules[i]
			if p.Module.Path+"/" == module && m != "" && m != p.Module.Path {
				direct[m] = true
			}
		}
	}
	if len(direct) > 15 {
		t.Errorf("the client has %d direct dependencies, more than 15: %v", len(direct), direct)
	}
}
