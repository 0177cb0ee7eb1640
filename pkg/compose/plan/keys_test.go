package plan_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// keysOf are the keys of a type of compose-go's and of what is below, by path; what is below a refused one is left out.
func keysOf(t reflect.Type, below string, verdicts map[string]plan.Verdict, found map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		}
		switch {
		case !f.IsExported() || name == "-" || f.Tag.Get("json") == "-":
			continue
		case f.Anonymous:
			keysOf(f.Type, below, verdicts, found)
			continue
		case name == "":
			name = strings.ToLower(f.Name)
		}
		path := below + name
		if rest, hook := strings.CutPrefix(path, "services.pre_start."); hook && verdicts[path] == "" && verdicts["services."+rest] != "" {
			continue // services' own
		}
		found[path] = true
		if verdicts[path] != plan.Refused {
			keysOf(f.Type, path+".", verdicts, found)
		}
	}
}

// A new key of the specification has to be given its place.
func TestEveryKeyHasAPlace(t *testing.T) {
	verdicts, found := map[string]plan.Verdict{}, map[string]bool{}
	for _, k := range plan.Keys() {
		if verdicts[k.Path] != "" {
			t.Errorf("%s is in the table twice", k.Path)
		}
		verdicts[k.Path] = k.Verdict
		if (k.Reason != "") != (k.Verdict == plan.Warned || k.Verdict == plan.Refused) {
			t.Errorf("%s is %s, for the reason %q", k.Path, k.Verdict, k.Reason)
		}
	}
	keysOf(reflect.TypeFor[types.Project](), "", verdicts, found)
	found["include"] = true // it is gone when a project is loaded
	keysOf(reflect.TypeFor[types.IncludeConfig](), "include.", verdicts, found)
	for path := range found {
		if verdicts[path] == "" {
			t.Errorf("%s has no place: say in keys.go what is done with it", path)
		}
	}
	for path := range verdicts {
		if !found[path] {
			t.Errorf("%s is no key of compose-go's any more: take it out of keys.go", path)
		}
	}
	if len(found) < 250 {
		t.Errorf("%d keys were found only", len(found))
	}
}

func refusals(t *testing.T, text string) []error {
	t.Helper()
	p := loadProject(t, text, nil)
	return plan.Refusals(p, p.ServiceNames())
}

// What a command does not take is no reason to refuse it.
func TestRefusalsOfWhatIsChosen(t *testing.T) {
	p := loadProject(t, `
services:
  a: {image: a, depends_on: [b]}
  b: {image: b}
  c: {provider: {type: x}}
  d: {image: d, use_api_socket: true, profiles: [more], depends_on: [a]}
`, nil)
	for line, want := range map[string]string{
		"up":             "b a c; services.c.provider: providers are not run",
		"up a":           "b a",
		"up --no-deps a": "a",
		"up d":           "b a d; services.d.use_api_socket: no Docker socket is handed to containers",
		"run d":          "b a d; services.d.use_api_socket: no Docker socket is handed to containers",
		"stop a":         "a",
		"up e":           `there is no service "e" in the project p`,
	} {
		w := parseCommand(t, line)
		w.Project = p
		names, err := plan.Chosen(w)
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		for _, err := range plan.Refusals(p, names) {
			got += "; " + err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"services: {a: {image: a}}":                                                                    "",
		"services: {a: {image: a, models: [m]}}\nmodels: {m: {model: x}}":                              "models: there is no runner of models; services.a.models: there is no runner of models",
		"services: {a: {provider: {type: x}}}":                                                         "services.a.provider: providers are not run",
		"services: {a: {image: a, credential_spec: {file: x}}}":                                        "services.a.credential_spec: it is for Windows",
		"services: {a: {image: a, isolation: hyperv}}":                                                 "services.a.isolation: it is for Windows",
		"services: {a: {image: a, isolation: default}}":                                                "",
		"services: {a: {image: a, use_api_socket: true}}":                                              "services.a.use_api_socket: no Docker socket is handed to containers",
		"services: {a: {image: a, secrets: [s]}}\nsecrets: {s: {external: true}}":                      "services.a.secrets: s is external, and there is no store of secrets",
		"services: {a: {image: a, configs: [c]}}\nconfigs: {c: {external: true}}":                      "services.a.configs: c is external, and there is no store of configs",
		"services: {a: {image: a, volumes: [{type: npipe, source: '\\\\.\\pipe\\x', target: '/x'}]}}":  "services.a.volumes: /x is of type npipe, which there is none of here",
		"services: {a: {image: a, pre_start: [{command: x, credential_spec: {file: x}}]}}":             "services.a.pre_start.credential_spec: it is for Windows",
		"services: {a: {image: a}}\njobs: {j: {image: j, triggers: {manual: true}}}":                   "jobs: jobs are not run",
		"services: {a: {image: a, deploy: {placement: {constraints: [x]}}, develop: {watch: []}}}":     "",
		"services: {a: {image: a, cpu_count: 1}, b: {image: b, use_api_socket: true, isolation: x}}\n": "services.b.isolation: it is for Windows; services.b.use_api_socket: no Docker socket is handed to containers",
	} {
		var got []string
		for _, err := range refusals(t, text) {
			got = append(got, err.Error())
			if hint.Of(err) == "" {
				t.Errorf("%v has no hint", err)
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, "; "); s != want {
			t.Errorf("%s:\n%s\nwant\n%s", text, s, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	p := loadProject(t, `
services:
  a:
    image: a
    ports: ["80:80"]
    cpu_count: 2
    deploy:
      mode: global
      placement: {constraints: [x], preferences: [{spread: y}]}
      resources: {limits: {cpus: "1"}, reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 1}}]}}
secrets: {s: {file: ./s, labels: {a: b}}}
`, nil)
	want := `services.a.deploy.resources.reservations.generic_resources has no effect: it means something to a swarm, and there is none
services.a.deploy.placement has no effect: it means something to a swarm, and there is none
services.a.cpu_count has no effect: it is for Windows
secrets.s.labels has no effect: it means something to a swarm, and there is none
services.a.deploy.mode has no effect: it means something to a swarm, and there is none`
	if got := strings.Join(plan.Warnings(p, p.ServiceNames()), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	fine := loadProject(t, "services: {a: {image: a, ports: ['80:80'], volumes: [/x], networks: [n], deploy: {replicas: 2}}}\nnetworks: {n: {attachable: true}}", nil)
	if none := plan.Warnings(fine, fine.ServiceNames()); len(none) > 0 {
		t.Errorf("of what works there is said %q", none)
	}
}
