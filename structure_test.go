// Package linnet_test holds the structure of the code base: who may import whom, and how long a file and a function may be.
package linnet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/linnet-dev/linnet/"

// allowed lists what each package of ours imports of ours, besides pkg/hint, which every one may. A package that is not in
// it fails the test: a new one has to find its place here first. The table in docs/architecture.md says the same for readers.
var allowed = map[string][]string{
	"cmd/linnet":         {"pkg/cli", "pkg/route", "pkg/streams"},
	"cmd/linnet-build":   {"pkg/cli", "pkg/cli/buildcmd", "pkg/route", "pkg/streams"},
	"cmd/linnet-compose": {"pkg/cli", "pkg/cli/composecmd", "pkg/route", "pkg/streams"},
	"cmd/linnet-lint":    {"pkg/cli", "pkg/cli/lintcmd", "pkg/route", "pkg/streams"},
	"cmd/linnet-agent":   {"pkg/engine", "pkg/agentserver", "pkg/agentserver/portplugin", "pkg/agentserver/portproxy", "pkg/volume"},
	"cmd/linnet-env":     {}, // steps of builds are cached by its bytes

	"pkg/cli":          {"deps", "pkg/agent", "pkg/client", "pkg/dockercontext", "pkg/doctor", "pkg/doctor/gather", "pkg/emulate", "pkg/guest", "pkg/guestimage", "pkg/host", "pkg/lima", "pkg/migrate", "pkg/native", "pkg/nerdctl", "pkg/registry", "pkg/relay", "pkg/report", "pkg/route", "pkg/settings", "pkg/streams", "pkg/vm"},
	"pkg/cli/buildcmd": {"pkg/build", "pkg/build/cache", "pkg/build/options", "pkg/cli", "pkg/diskusage", "pkg/host", "pkg/report", "pkg/settings", "pkg/streams"},
	"pkg/build":        {"pkg/build/localdir", "pkg/build/options", "pkg/build/state", "pkg/build/store", "pkg/guest", "pkg/host", "pkg/report"},
	"pkg/compose":      {"pkg/build/options"},
	"pkg/client":       {"pkg/crossing", "pkg/emulate", "pkg/guest", "pkg/nerdctl", "pkg/registry", "pkg/report", "pkg/route", "pkg/streams"},
	"pkg/native":       {"pkg/agent", "pkg/agent/agentpb", "pkg/emulate", "pkg/guest", "pkg/host", "pkg/report"},
	"pkg/engine":       {"config", "pkg/agent", "pkg/agent/agentpb", "pkg/agentserver", "pkg/agentserver/portplugin", "pkg/agentserver/portproxy", "pkg/dockerapi", "pkg/guest", "pkg/host", "pkg/sharedimages"},
	"pkg/agent":        {"pkg/agent/agentpb", "pkg/guest", "pkg/host", "pkg/report"},
	"pkg/agentserver":  {"pkg/agent", "pkg/agent/agentpb", "pkg/host"},

	"pkg/cli/composecmd": {"pkg/build", "pkg/build/options", "pkg/cli", "pkg/cli/buildcmd", "pkg/compose", "pkg/guest", "pkg/host", "pkg/nerdctl", "pkg/route", "pkg/settings"},

	"pkg/compose/plan":    {},
	"pkg/cli/lintcmd":     {"pkg/agent", "pkg/build/store", "pkg/cli", "pkg/lens", "pkg/lens/gather", "pkg/lens/images", "pkg/lens/layers"},
	"pkg/lens":            {},
	"pkg/lens/buildrules": {"pkg/lens"},
	"pkg/lens/images":     {"pkg/lens", "pkg/lens/layers"},
	"pkg/lens/layers":     {"pkg/lens"},
	"pkg/lens/gather":     {"pkg/build/localdir", "pkg/build/options", "pkg/compose", "pkg/lens", "pkg/lens/buildrules"},

	"pkg/agentserver/portplugin": {"pkg/agent/agentpb"},
	"pkg/agentserver/portproxy":  {"pkg/agent/agentpb", "pkg/host"},
	"pkg/relay":                  {"pkg/agent", "pkg/agent/agentpb", "pkg/host"},

	"pkg/registry": {"pkg/guest", "pkg/host"},
	"pkg/route":    {"pkg/nerdctl"},

	"pkg/guestimage": {"pkg/host"},

	"pkg/diskusage":     {"pkg/build/store", "pkg/guest"},
	"pkg/dockerapi":     {"pkg/host"},
	"pkg/dockercontext": {},
	"pkg/sharedimages":  {},

	"pkg/migrate": {"pkg/dockercontext"},

	"pkg/doctor":        {},
	"pkg/doctor/gather": {"pkg/doctor", "pkg/dockercontext", "pkg/emulate", "pkg/host", "pkg/migrate"},

	"pkg/volume": {"pkg/host"},

	"pkg/vm":   {"pkg/report"},
	"pkg/lima": {"config", "pkg/agent", "pkg/agent/agentpb", "pkg/guest", "pkg/host", "pkg/relay", "pkg/report", "pkg/vm"},

	"pkg/build/cache":    {"pkg/build", "pkg/build/localdir", "pkg/build/options", "pkg/build/state", "pkg/build/store", "pkg/host"},
	"pkg/build/localdir": {"pkg/build/options", "pkg/host"},
	"pkg/build/options":  {},
	"pkg/build/state":    {"pkg/build/options", "pkg/host"},
	"pkg/build/store":    {"pkg/guest"},

	"config":            {},
	"deps":              {},
	"pkg/agent/agentpb": {},
	"pkg/crossing":      {},
	"pkg/emulate":       {},
	"pkg/guest":         {},
	"pkg/hint":          {},
	"pkg/host":          {},
	"pkg/nerdctl":       {"pkg/crossing"},
	"pkg/report":        {},
	"pkg/settings":      {},
	"pkg/streams":       {},

	// What makes releases.
	"installer/dist":      {"deps"},
	"installer/reference": {"pkg/cli", "pkg/cli/buildcmd", "pkg/cli/composecmd", "pkg/cli/lintcmd", "pkg/nerdctl", "pkg/route", "pkg/streams"},

	// Tests' own and tools.
	"pkg/guest/guesttest":     {"pkg/guest", "pkg/host"},
	"pkg/host/hosttest":       {},
	"pkg/lima/limatest":       {"pkg/host"},
	"pkg/relay/relaytest":     {},
	"pkg/migrate/migratetest": {"pkg/migrate"},
	"pkg/vm/vmtest":           {"pkg/vm"},
}

// everybodys may be imported by every package.
const everybodys = "pkg/hint"

type listed struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	Module       struct{ Path string }
	TestGoFiles  []string
	XTestGoFiles []string
	TestImports  []string
	XTestImports []string
}

// everything is what cmd, pkg, config, deps, e2e and installer have, and all that it is made of, by import path. Go asks itself whether
// a test has to run again by what the test looks at, and that does not count what another process lists: so each of our files is looked at.
var everything = sync.OnceValues(func() (map[string]listed, error) {
	for _, dir := range []string{"cmd", "config", "deps", "e2e", "installer", "pkg"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,Module,TestGoFiles,XTestGoFiles,TestImports,XTestImports", "./cmd/...", "./pkg/...", "./config", "./deps", "./e2e/...", "./installer/...")
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	all := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

// list is what is in directories, of packages of ours: "cmd/", "deps".
func list(t *testing.T, dirs ...string) (packages []listed) {
	t.Helper()
	all, err := everything()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		name, own := strings.CutPrefix(path, module)
		if own && slices.ContainsFunc(dirs, func(f string) bool { return name == f || strings.HasSuffix(f, "/") && strings.HasPrefix(name, f) }) {
			packages = append(packages, all[path])
		}
	}
	return packages
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
	for _, p := range list(t, "cmd/", "pkg/", "installer/", "config", "deps") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.Contains(name, "/internal/") || strings.HasPrefix(name, "deps/") {
			continue // seen by their parent alone
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("%s has no place in the structure: say in structure_test.go what it may import", name)
			continue
		}
		for _, i := range ours(p.Imports) {
			if !slices.Contains(may, i) && i != everybodys && !strings.HasPrefix(i, name+"/internal/") {
				t.Errorf("%s must not import %s", name, i)
			}
		}
		for _, i := range may {
			if !slices.Contains(ours(p.Imports), i) {
				t.Errorf("%s no longer imports %s: take it out of structure_test.go", name, i)
			}
		}
	}
}

// The two guests never meet, in tests either: such a test would be the first place where one leans on the other.
func TestGuestsNeverMeet(t *testing.T) {
	for _, p := range list(t, "pkg/native", "pkg/lima", "pkg/vm") {
		native := strings.HasSuffix(p.ImportPath, "pkg/native")
		for _, i := range ours(slices.Concat(p.Imports, p.TestImports, p.XTestImports)) {
			if native && (i == "pkg/lima" || i == "pkg/vm") || !native && i == "pkg/native" {
				t.Errorf("%s must not import %s, nor may its tests", p.ImportPath, i)
			}
		}
	}
}

// row is a line of the table in docs/architecture.md: the package, what it is, what it imports.
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| ([^|]*) \\|$")

// What readers are told of the imports is what holds.
func TestTheTableOfPackages(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		imports := []string{}
		for _, q := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[2], -1) {
			imports = append(imports, q[1])
		}
		said[m[1]] = imports
	}
	for name, may := range allowed {
		have, is := said[name]
		switch {
		case strings.HasPrefix(name, "cmd/") || strings.HasSuffix(name, "test") || name == "pkg/agent/agentpb":
		case !is:
			t.Errorf("docs/architecture.md has no line for %s", name)
		case !slices.Equal(slices.Sorted(slices.Values(have)), readable(may)):
			t.Errorf("docs/architecture.md says that %s imports %q; it is %q", name, have, readable(may))
		}
	}
}

// readable is what the table names of a package's imports: the agent's messages are the agent's.
func readable(imports []string) []string {
	return slices.DeleteFunc(slices.Sorted(slices.Values(imports)), func(i string) bool { return i == "pkg/agent/agentpb" })
}

func TestImportsOfOthers(t *testing.T) {
	only := map[string][]string{
		"github.com/spf13/cobra":              {"pkg/cli", "pkg/cli/buildcmd", "pkg/cli/composecmd", "pkg/cli/lintcmd"},
		"os/exec":                             {"pkg/host", "pkg/host/hosttest", "cmd/linnet-env"},
		"github.com/containerd/containerd/v2": {"pkg/engine", "pkg/sharedimages", "pkg/build", "pkg/build/cache", "pkg/build/store", "pkg/diskusage"},
		"github.com/klauspost/compress":       {"pkg/guestimage", "pkg/lens/images", "pkg/lens/layers"},
		"github.com/moby/buildkit":            {"pkg/build", "pkg/build/cache", "pkg/lens", "pkg/lens/buildrules"},
		"github.com/compose-spec/compose-go":  {"pkg/compose", "pkg/compose/plan"},
		"github.com/containerd/nerdctl":       {},
		"github.com/lima-vm":                  {},
	}
	for _, p := range list(t, "cmd/", "pkg/") {
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

// Of builds, two packages know BuildKit, and those that a build is described with know no engine at all.
func TestPartsOfBuildsWithoutBuildKit(t *testing.T) {
	for _, p := range list(t, "pkg/build/", "pkg/compose", "pkg/compose/") {
		name := strings.TrimPrefix(p.ImportPath, module)
		without := []string{"github.com/moby/buildkit/"}
		switch name {
		case "pkg/build/cache":
			continue
		case "pkg/build/store":
		default:
			without = append(without, "github.com/containerd/containerd/", "google.golang.org/grpc")
		}
		for _, d := range p.Deps {
			if slices.ContainsFunc(without, func(w string) bool { return strings.HasPrefix(d, w) }) {
				t.Errorf("%s links %s", name, d)
			}
		}
	}
}

// Checks judge facts: they know how a Dockerfile is read, and no engine, nor any file.
func TestChecksKnowNoEngine(t *testing.T) {
	for _, d := range list(t, "pkg/lens")[0].Deps {
		for _, without := range []string{"google.golang.org/grpc", "github.com/containerd/containerd/", "github.com/moby/buildkit/client", "github.com/moby/buildkit/session", "github.com/compose-spec/"} {
			if strings.HasPrefix(d, without) {
				t.Errorf("pkg/lens links %s", d)
			}
		}
	}
}

// `go test ./...` is for everybody: what needs an engine or root has the build tag e2e.
func TestSuitesHaveTheirTag(t *testing.T) {
	for _, p := range list(t, "e2e/") {
		if files := slices.Concat(p.TestGoFiles, p.XTestGoFiles); len(files) > 0 {
			t.Errorf("%s: %v have no //go:build e2e", p.ImportPath, files)
		}
	}
}

// The client stays thin: what only the agent needs, what builds, and what reads compose files is not
// linked into it. Nor are compose files into what builds: they cost every build's start 6 ms.
func TestClientStaysThin(t *testing.T) {
	composeFiles := []string{"github.com/compose-spec/compose-go", "github.com/santhosh-tekuri/jsonschema", module + "pkg/compose", module + "pkg/cli/composecmd"}
	engine := []string{"github.com/vishvananda/netlink", "github.com/fsnotify/fsnotify", "net/http/pprof", module + "pkg/engine", module + "pkg/dockerapi", module + "pkg/sharedimages"}
	builds := []string{"github.com/moby/buildkit", "github.com/docker/cli", "github.com/containerd/containerd", module + "pkg/build"}
	lint := []string{"mvdan.cc/sh", module + "pkg/lens"}
	for program, without := range map[string][]string{
		"linnet":         slices.Concat(composeFiles, engine, builds, lint),
		"linnet-build":   slices.Concat(composeFiles, engine, lint),
		"linnet-compose": slices.Concat(engine, lint),
		"linnet-lint":    engine,
	} {
		for _, d := range list(t, "cmd/"+program)[0].Deps {
			for _, heavy := range without {
				if strings.HasPrefix(d, heavy) {
					t.Errorf("%s links %s", program, d)
				}
			}
		}
	}
}

// clientModules are the third-party modules that cmd/linnet's packages of ours import. docs/architecture.md has a reason for each.
var clientModules = []string{
	"github.com/creack/pty",
	"github.com/goccy/go-yaml",
	"github.com/klauspost/compress",
	"github.com/sirupsen/logrus",
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"golang.org/x/crypto",
	"golang.org/x/sync",
	"golang.org/x/sys",
	"golang.org/x/term",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

// A new module of the light client has to be given its reason first.
func TestClientDependenciesHaveReasons(t *testing.T) {
	client := list(t, "cmd/linnet")[0]
	all, err := everything()
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, path := range append(client.Deps, client.ImportPath) {
		p := all[path]
		for _, i := range p.Imports {
			if m := all[i].Module.Path; p.Module.Path+"/" == module && m != "" && m != p.Module.Path {
				direct[m] = true
			}
		}
	}
	if have := slices.Sorted(maps.Keys(direct)); !slices.Equal(have, clientModules) {
		t.Errorf("the client's direct modules are %q; clientModules has %q", have, clientModules)
	}
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[^`]+)` \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	if !slices.Equal(documented, clientModules) {
		t.Errorf("docs/architecture.md has reasons for %q; clientModules has %q", documented, clientModules)
	}
}
