package compose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// load reads a compose file in a directory of the test's own.
func load(t *testing.T, text string, environ ...string) *Project {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Load(t.Context(), Source{Files: []string{filepath.Join(dir, "compose.yaml")}, Name: "proj", Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// one is the only build of a project with one service, app, whose build section is given. DIR in
// what it should be stands for the project's directory.
func one(t *testing.T, section string, w Wanted, environ ...string) (options.Options, string) {
	t.Helper()
	p := load(t, "services:\n  app:\n    build:\n      "+strings.ReplaceAll(section, "\n", "\n      ")+"\nsecrets:\n  file: {file: ./token}\n  env: {environment: TOKEN}\n", environ...)
	plan, err := p.Plan(w)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan) != 1 {
		t.Fatalf("%d builds", len(plan))
	}
	return plan[0].Options, p.model.WorkingDir
}

func TestBuildKeys(t *testing.T) {
	for section, want := range map[string]func(o *options.Options, dir string){
		"context: .":     func(*options.Options, string) {},
		"context: ./sub": func(o *options.Options, dir string) { o.Context = dir + "/sub" },
		"context: https://git.example/a.git#main":    func(o *options.Options, _ string) { o.Context = "https://git.example/a.git#main" },
		"dockerfile: web.Dockerfile":                 func(o *options.Options, dir string) { o.File = dir + "/web.Dockerfile" },
		"dockerfile: /abs/Dockerfile":                func(o *options.Options, _ string) { o.File = "/abs/Dockerfile" },
		"dockerfile_inline: |\n  FROM scratch":       func(o *options.Options, _ string) { o.Inline = "FROM scratch\n" },
		"args: [A=b, HERE, GONE]":                    func(o *options.Options, _ string) { o.Args = map[string]string{"A": "b", "HERE": "x y"} },
		"args: {A: 1, B: $HERE, C: $$D}":             func(o *options.Options, _ string) { o.Args = map[string]string{"A": "1", "B": "x y", "C": "$D"} },
		"target: test":                               func(o *options.Options, _ string) { o.Target = "test" },
		"labels: {a: b}":                             func(o *options.Options, _ string) { o.Labels = map[string]string{"a": "b"} },
		"labels: [a=b, c]":                           func(o *options.Options, _ string) { o.Labels = map[string]string{"a": "b", "c": ""} },
		"network: none":                              func(o *options.Options, _ string) { o.Network = "none" },
		"shm_size: 24m":                              func(o *options.Options, _ string) { o.ShmSize = 24 << 20 },
		"extra_hosts: [\"b=10.0.0.2\", \"a:::1\"]":   func(o *options.Options, _ string) { o.AddHosts = []string{"a=::1", "b=10.0.0.2"} },
		"pull: true":                                 func(o *options.Options, _ string) { o.Pull = true },
		"no_cache: true":                             func(o *options.Options, _ string) { o.NoCache = true },
		"no_cache_filter: [one, two]":                func(o *options.Options, _ string) { o.NoCacheFilter = []string{"one", "two"} },
		"tags: [other:1, reg.example/x]":             func(o *options.Options, _ string) { o.Tags = []string{"proj-app", "other:1", "reg.example/x"} },
		"platforms: [linux/amd64, linux/arm64]":      func(o *options.Options, _ string) { o.Platforms = []string{"linux/amd64", "linux/arm64"} },
		"ssh: [default, key=./id, agent=/run/a.sck]": sshKeys,
		"secrets: [file, {source: env, target: e}]": func(o *options.Options, dir string) {
			o.Secrets = []options.Secret{{ID: "file", File: dir + "/token"}, {ID: "e", Env: "TOKEN"}}
		},
		"additional_contexts: {Other: ./o, img: docker-image://busybox}": func(o *options.Options, dir string) {
			o.Contexts = []options.Context{{Name: "other", Value: dir + "/o"}, {Name: "img", Value: "docker-image://busybox"}}
		},
		"cache_from: [reg.example/c, \"type=local,src=./c\"]\ncache_to: [\"type=local,dest=c,mode=max\"]": func(o *options.Options, dir string) {
			o.CacheFrom = []options.Cache{{Type: "registry", Attrs: map[string]string{"ref": "reg.example/c"}}, {Type: "local", Attrs: map[string]string{"src": dir + "/c"}}}
			o.CacheTo = []options.Cache{{Type: "local", Attrs: map[string]string{"dest": dir + "/c", "mode": "max"}}}
		},
		"provenance: mode=max\nsbom: true": func(o *options.Options, _ string) {
			o.Attests = map[string]string{"provenance": "mode=max,type=provenance", "sbom": "type=sbom"}
		},
		"provenance: false": func(o *options.Options, _ string) { o.Attests = map[string]string{"provenance": "disabled"} },
		"entitlements: [network.host]\nnetwork: host": func(o *options.Options, _ string) {
			o.Network, o.Allow = "host", []string{"network.host"}
		},
		"privileged: true": func(o *options.Options, _ string) { o.Allow = []string{"security.insecure"} },
		"ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}": func(o *options.Options, _ string) { o.Ulimits = []string{"nofile=1:2", "nproc=3:3"} },
	} {
		t.Run(section, func(t *testing.T) {
			got, dir := one(t, section, Wanted{}, "HERE=x y")
			expected := plain(dir)
			want(&expected, dir)
			if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", expected); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

// plain is what a build section with nothing in it means.
func plain(dir string) options.Options {
	return options.Options{
		Context: dir, Args: map[string]string{}, Labels: map[string]string{}, AddHosts: []string{},
		Tags: []string{"proj-app"}, Attests: map[string]string{},
	}
}

func sshKeys(o *options.Options, dir string) {
	o.SSH = []options.SSH{{ID: "agent", Paths: []string{"/run/a.sck"}}, {ID: "default"}, {ID: "key", Paths: []string{dir + "/id"}}}
}

// No key of the build section may be dropped: what the model gets, options has to read.
func TestNoBuildKeyIsIgnored(t *testing.T) {
	text, err := os.ReadFile("options.go")
	if err != nil {
		t.Fatal(err)
	}
	section := load(t, "services: {a: {build: .}}").model.Services["a"].Build
	for i := range reflect.TypeOf(*section).NumField() {
		name := reflect.TypeOf(*section).Field(i).Name
		if name != "Isolation" && name != "Extensions" && !strings.Contains(string(text), "."+name) {
			t.Errorf("the build section's %s is not read", name)
		}
	}
}

func TestTheCommandLineGoesOverTheFile(t *testing.T) {
	got, _ := one(t, "args: {A: file, B: file}\nssh: [default]", Wanted{
		Args: map[string]string{"A": "line"}, SSH: []options.SSH{{ID: "x"}}, NoCache: true, Pull: true, Push: true,
	})
	if got.Args["A"] != "line" || got.Args["B"] != "file" || len(got.SSH) != 2 || !got.NoCache || !got.Pull {
		t.Errorf("got %+v", got)
	}
	if len(got.Outputs) != 0 {
		t.Errorf("an image without a name of its own is pushed: %+v", got.Outputs)
	}
}

func TestPathsAreShownFromHere(t *testing.T) {
	p := load(t, "services:\n  a: {build: {context: sub, dockerfile: b.Dockerfile}}\n  b: {build: .}\n")
	for dir, want := range map[string]string{
		p.model.WorkingDir:          "./sub ./sub/b.Dockerfile .",
		p.model.WorkingDir + "/sub": ". ./b.Dockerfile " + p.model.WorkingDir,
	} {
		plan, err := p.Plan(Wanted{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		a, b := plan[0].Options, plan[1].Options
		if got := a.Context + " " + a.File + " " + b.Context; got != want {
			t.Errorf("from %s: %s, want %s", dir, got, want)
		}
	}
}

func TestTheServicesPlatformIsTheBuilds(t *testing.T) {
	p := load(t, "services:\n  a: {build: ., platform: linux/arm64}\n  b: {build: .}\n", "DOCKER_DEFAULT_PLATFORM=linux/386")
	plan, err := p.Plan(Wanted{})
	if err != nil || plan[0].Options.Platforms[0] != "linux/arm64" || plan[1].Options.Platforms[0] != "linux/386" {
		t.Errorf("%+v %v", plan, err)
	}
}

func TestPlatformsAreThoseOfTheContainersThatStart(t *testing.T) {
	const text = `
services:
  a: {image: a, platform: linux/arm64, depends_on: [c]}
  b: {build: ., platform: linux/riscv64, depends_on: [a2]}
  a2: {image: a, platform: linux/arm64}
  c: {image: c}
  d: {image: d, platform: linux/s390x, profiles: [more]}
  e: {image: e, depends_on: {d: {condition: service_started, required: false}}}
  f: {image: f, depends_on: {a2: {condition: service_started, required: false}}}
`
	for _, c := range []struct {
		wanted Wanted
		want   string
	}{
		{Wanted{}, "linux/arm64 linux/riscv64"},
		{Wanted{Services: []string{"a"}}, "linux/arm64"},
		{Wanted{Services: []string{"b", "d"}, Dependencies: true}, "linux/arm64 linux/riscv64 linux/s390x"},
		{Wanted{Services: []string{"c", "none"}, Dependencies: true}, ""},
		{Wanted{Services: []string{"e"}, Dependencies: true}, ""},
		{Wanted{Services: []string{"f"}, Dependencies: true}, "linux/arm64"},
	} {
		if got := strings.Join(load(t, text).Platforms(c.wanted), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.wanted, got, c.want)
		}
	}
}

const several = `
services:
  app: {build: {context: ., additional_contexts: {base: "service:base"}}, depends_on: [db, tool]}
  base: {build: ., image: reg.example/base}
  db: {image: db, depends_on: [seed]}
  seed: {build: .}
  tool: {build: ., pull_policy: build}
  extra: {build: ., profiles: [more]}
`

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		wanted Wanted
		want   string
	}{
		{Wanted{}, "base app seed tool"},
		{Wanted{Services: []string{"app"}}, "base app"},
		{Wanted{Services: []string{"app"}, Dependencies: true}, "seed tool base app"},
		{Wanted{Services: []string{"db"}}, ""},
		{Wanted{Services: []string{"extra", "seed"}}, "extra seed"},
	} {
		plan, err := load(t, several).Plan(c.wanted)
		var got []string
		for _, b := range plan {
			got = append(got, b.Service)
		}
		if s := strings.Join(got, " "); err != nil || s != c.want {
			t.Errorf("%+v: %q, %v; want %q", c.wanted, s, err, c.want)
		}
	}
}

func TestAServicesImageIsAContext(t *testing.T) {
	plan, err := load(t, several).Plan(Wanted{Services: []string{"app"}, Pull: true})
	if err != nil {
		t.Fatal(err)
	}
	app := plan[1]
	if app.Options.Contexts[0].Value != "docker-image://reg.example/base" || app.After[0] != "base" || app.Options.Pull || !plan[0].Options.Pull {
		t.Errorf("%+v", plan)
	}
}

func TestWithoutKeepsWhatOthersAreBuiltFrom(t *testing.T) {
	plan, err := load(t, several).Plan(Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range Without(plan, func(b Build) bool { return b.Service != "app" && !b.Always }) {
		got = append(got, b.Service)
	}
	if s := strings.Join(got, " "); s != "base app tool" {
		t.Errorf("%q is left", s)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"services: {a: {build: {network: host}}}":                                                                                       "service a: its build asks for network: host, which is not allowed",
		"services: {a: {build: {secrets: [s]}}}\nsecrets: {s: {external: true}}":                                                        "service a: the secret s is external, and there is no store of secrets here",
		"services: {a: {build: {cache_to: [type=local]}}}":                                                                              `service a: --cache-to "type=local": the directory is missing`,
		"services: {a: {build: {provenance: \"mode=max,x\"}}}":                                                                          `service a: --provenance "type=provenance,mode=max,x": "x" is not of the form key=value`,
		"services:\n  a: {build: {additional_contexts: {x: \"service:b\"}}}\n  b: {build: {additional_contexts: {x: \"service:a\"}}}\n": "planning the builds: a -> b -> a are built from each other",
	} {
		_, err := load(t, text).Plan(Wanted{})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	var hinted *hint.Error
	if _, err := load(t, several).Plan(Wanted{Services: []string{"nope"}}); !errors.As(err, &hinted) ||
		err.Error() != `there is no service "nope" in the project proj` || hinted.Fix != "it has app, base, db, extra, seed, tool" {
		t.Errorf("an unknown service: %v", err)
	}
	if _, err := Load(t.Context(), Source{Files: []string{"/nosuch.yaml"}}); hint.Of(err) == "" || err.Error() != "reading the compose file: /nosuch.yaml: no such file or directory" {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := Load(t.Context(), Source{Dir: t.TempDir()}); err == nil || err.Error() != "reading the compose file: there is none in this directory or above it" {
		t.Errorf("no file: %v", err)
	}
}

func TestRunWaitsForWhatABuildIsMadeFrom(t *testing.T) {
	var mu sync.Mutex
	var order []string
	plan := []Build{{Service: "a"}, {Service: "b", After: []string{"a", "not-in-it"}}, {Service: "c", After: []string{"b"}}}
	err := Run(t.Context(), plan, func(_ context.Context, b Build) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, b.Service)
		return nil
	})
	if s := strings.Join(order, ""); err != nil || s != "abc" {
		t.Errorf("%s %v", s, err)
	}
}

func TestRunDoesAllAtOnceAndEndsWithTheFirstError(t *testing.T) {
	started := make(chan string, 2)
	err := Run(t.Context(), []Build{{Service: "a"}, {Service: "b"}, {Service: "c", After: []string{"b"}}}, func(ctx context.Context, b Build) error {
		started <- b.Service
		if b.Service == "a" {
			<-started
			<-started // both run
			return errors.New("broke")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || err.Error() != "service a: broke" {
		t.Error(err)
	}
	called, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("called off"))
	if err := Run(called, []Build{{Service: "a"}}, func(ctx context.Context, _ Build) error { return ctx.Err() }); err == nil || err.Error() != "called off" {
		t.Errorf("called off: %v", err)
	}
}
