package plan_test

import (
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

// What decides how many containers there are, and how they come about, is no other container.
func TestWhatCountsInTheHash(t *testing.T) {
	hash := func(service string) string {
		s := loadProject(t, "services: {b: {image: b}, a: {image: a, "+service+"}}", nil).Services["a"]
		return plan.ServiceHash(&s)
	}
	base := hash("command: x, deploy: {labels: {l: m}}")
	for _, same := range []string{"scale: 3", "pull_policy: always", "build: .", "depends_on: [b]", "profiles: []"} {
		if hash("command: x, deploy: {labels: {l: m}}, "+same) != base {
			t.Errorf("%s changes the hash", same)
		}
	}
	if hash("command: x, deploy: {labels: {l: m}, replicas: 2}") != base {
		t.Error("replicas change the hash")
	}
	if hash("deploy: {labels: {l: m}}") == hash("command: [], deploy: {labels: {l: m}}") {
		t.Error("no command of its own is an empty command")
	}
	for _, other := range []string{"environment: {A: b}", "ports: ['80:80']", "labels: {x: y}", "healthcheck: {test: x}", "networks: {default: {aliases: [x]}}", "restart: always", "volumes: [/x]", "stop_signal: SIGINT", "develop: {watch: [{path: ., action: rebuild}]}"} {
		if hash("command: x, deploy: {labels: {l: m}}, "+other) == base {
			t.Errorf("%s does not change the hash", other)
		}
	}
}

// Containers that are there are made anew when the hash of what has not changed becomes another one: this one must not.
func TestTheHashStaysTheSame(t *testing.T) {
	p := loadProject(t, `
services: {a: {image: a, environment: {A: b}, ports: ["80:80"], volumes: [data:/d], command: [x, y]}}
volumes: {data: {labels: {l: m}}}
networks: {default: {driver_opts: {o: p}}}
`, nil)
	s, n, v := p.Services["a"], p.Networks["default"], p.Volumes["data"]
	got := plan.ServiceHash(&s)[:16] + " " + plan.NetworkHash(&n)[:16] + " " + plan.VolumeHash(&v)[:16]
	if want := "f3f86ddfa781ac3c a84b1446c8980581 336d5f961481fb25"; got != want {
		t.Errorf("the hashes are %s, and were %s", got, want)
	}
}

func TestAProjectIsNotChanged(t *testing.T) {
	for _, c := range loadCases(t) {
		if c.wanted.Project == nil {
			continue
		}
		before, err := c.wanted.Project.MarshalYAML()
		if err != nil {
			t.Fatal(err)
		}
		plan.Make(c.wanted, newFake(t, c).observe())
		if after, err := c.wanted.Project.MarshalYAML(); err != nil || string(after) != string(before) {
			t.Errorf("%s: the project was\n%s\nand is\n%s", c.name, before, after)
		}
	}
}

func TestWhatTheLabelsSay(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels string
		want   plan.Container
	}{
		{"p-web-2", "service=web container-number=2 oneoff=False config-hash=h image=sha256:1 replace=old", plan.Container{Service: "web", Number: 2, Hash: "h", ImageID: "sha256:1", Replaces: "old"}},
		{"p-web-run-1234", "service=web container-number=1 oneoff=True", plan.Container{Service: "web", Number: 1, OneOff: true}},
		{"p-web-3", "service=web config-hash=theirs", plan.Container{Service: "web", Number: 3, Hash: "theirs"}}, // nerdctl's
		{"p-web-run-12ab", "service=web", plan.Container{Service: "web", OneOff: true}},
		{"p_web_1", "service=web", plan.Container{Service: "web", Number: 1}},
		{"solo", "service=web", plan.Container{Service: "web", Number: 1}},
	} {
		got := plan.Container{Name: c.name, Labels: map[string]string{plan.ProjectLabel: "p"}}
		for word := range strings.FieldsSeq(c.labels) {
			key, value, _ := strings.Cut(word, "=")
			got.Labels["com.docker.compose."+key] = value
		}
		got.ReadLabels()
		if w := c.want; got.Service != w.Service || got.Number != w.Number || got.OneOff != w.OneOff || got.Hash != w.Hash || got.ImageID != w.ImageID || got.Replaces != w.Replaces {
			t.Errorf("%s %s: %+v, want %+v", c.name, c.labels, got, w)
		}
	}
}
