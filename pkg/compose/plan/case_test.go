package plan_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

// testCase is a file of testdata: a command, a project, what is there before, and the plan.
type testCase struct {
	name, path string
	archive    *txtar.Archive
	wanted     plan.Wanted
	before     before
}

// before is state.yaml: what an undisturbed command has left, and what has changed since.
type before struct {
	// From is the file that the command was given; none means that there is nothing of the project.
	From string
	// Command is the command; "up" where there is none.
	Command string
	// Containers, Networks and Volumes are what is otherwise, by name. One that is not there is added.
	Containers map[string]changedContainer
	Networks   map[string]changedResource
	Volumes    map[string]changedResource
	// Images are digests, by name; "gone" is none. Every image of the files that is not here is there. Remote are what pulls and builds bring.
	Images, Remote map[string]string
	// Paths are the volumes of images.
	Paths map[string][]string
	// Fails says that a condition is not met, and which; Health is what checks come to.
	Fails  string
	Health map[string]plan.Health
}

type changedContainer struct {
	Gone, Unmounted, Unconnected bool

	ID       string
	Status   plan.Status
	Health   plan.Health
	Exit     int
	Service  string
	Labels   map[string]string
	Networks []string
	Name     string
	Volumes  map[string]string
}

type changedResource struct {
	Gone, Others bool
	Labels       map[string]string
}

func loadCases(t testing.TB) (all []testCase) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c := testCase{name: strings.TrimSuffix(filepath.Base(path), ".txt"), path: path, archive: archive}
		command := strings.TrimSpace(c.file("command"))
		c.wanted = parseCommand(t, command)
		if text := c.file("compose.yaml"); text != "" {
			c.wanted.Project = loadProject(t, text, c.wanted.Project)
		} else {
			c.wanted.Project = nil
		}
		c.wanted.Name = "p"
		if err := yaml.UnmarshalWithOptions([]byte(c.file("state.yaml")), &c.before, yaml.Strict()); err != nil && c.file("state.yaml") != "" {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, c)
	}
	return all
}

func (c testCase) file(name string) string {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// golden holds a plan to the file's, or rewrites the file when UPDATE is set.
func (c testCase) golden(t *testing.T, got string) {
	t.Helper()
	if was := c.file("plan"); was != got && os.Getenv("UPDATE") == "" {
		t.Errorf("the plan is\n%s\nand was\n%s", got, was)
	} else if was != got {
		c.archive.Files = append(slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "plan" }), txtar.File{Name: "plan", Data: []byte(got)})
		if err := os.WriteFile(c.path, txtar.Format(c.archive), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// loadProject reads a project as pkg/compose does, but from a text. with has its profiles.
func loadProject(t testing.TB, text string, with *types.Project) *types.Project {
	t.Helper()
	key := text
	if with != nil {
		key = strings.Join(with.Profiles, ",") + "\n" + text
	}
	if p, ok := loaded.Load(key); ok {
		return p.(*types.Project)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: "/p", ConfigFiles: []types.ConfigFile{{Filename: "/p/compose.yaml", Content: []byte(text)}},
		Environment: types.Mapping{"CANARY": "hunter2"},
	}, func(o *loader.Options) {
		o.SetProjectName("p", true)
		if with != nil {
			o.Profiles = with.Profiles
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	loaded.Store(key, project)
	return project
}

// loaded are projects that were read, by their text: no plan changes one.
var loaded sync.Map

// parseCommand reads a line as a person would type it. A profile comes back in a project that is yet to be loaded.
func parseCommand(t testing.TB, line string) (w plan.Wanted) {
	t.Helper()
	words := strings.Fields(line)
	w.Now = time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	flags := map[string]func(value string){
		"--profile":              func(v string) { w.Project = &types.Project{Profiles: strings.Split(v, ",")} },
		"--no-deps":              func(string) { w.NoDeps = true },
		"--force-recreate":       func(string) { w.Recreate = plan.Always },
		"--no-recreate":          func(string) { w.Recreate = plan.Never },
		"--always-recreate-deps": func(string) { w.AlwaysRecreateDeps = true },
		"--renew-anon-volumes":   func(string) { w.RenewVolumes = true },
		"--remove-orphans":       func(string) { w.RemoveOrphans = true },
		"--no-start":             func(string) { w.NoStart = true },
		"--wait":                 func(string) { w.Wait = true },
		"--build":                func(string) { w.Build = true },
		"--no-build":             func(string) { w.NoBuild = true },
		"--pull":                 func(v string) { w.Pull = v },
		"--stop":                 func(string) { w.StopFirst = true },
		"--volumes":              func(string) { w.Volumes = true },
		"--rmi":                  func(v string) { w.Images = v },
		"--signal":               func(v string) { w.Signal = v },
		"--agreed":               func(v string) { w.RecreateVolumes = append(w.RecreateVolumes, v) },
		"--timeout": func(v string) {
			d, err := time.ParseDuration(v + "s")
			if err != nil {
				t.Fatal(err)
			}
			w.Timeout = &d
		},
		"--scale": func(v string) {
			name, n, _ := strings.Cut(v, "=")
			number, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			if w.Scale == nil {
				w.Scale = map[string]int{}
			}
			w.Scale[name] = number
		},
	}
	for _, word := range words {
		flag, value, _ := strings.Cut(word, "=")
		set := flags[flag]
		name, _, scaled := strings.Cut(word, "=")
		switch {
		case set != nil:
			set(value)
		case strings.HasPrefix(word, "-"):
			t.Fatalf("%s: there is no flag %s", line, flag)
		case w.Command == "":
			w.Command = plan.Command(word)
		case scaled && w.Command == plan.ScaleCommand:
			flags["--scale"](word)
			w.Services = append(w.Services, name)
		default:
			w.Services = append(w.Services, word)
		}
	}
	return w
}
