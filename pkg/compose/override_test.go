package compose

import (
	"os"
	"path/filepath"
	"testing"
)

// What is left with the override on top needs no build, and is the same otherwise.
func TestOverride(t *testing.T) {
	p := load(t, `
services:
  app: {build: {context: "https://git.example/a.git", secrets: [tok], ssh: [default]}, labels: [a=b], command: x, secrets: [run]}
  forced: {build: ., image: reg.example/forced, pull_policy: build}
  other: {image: other, pull_policy: always}
secrets:
  tok: {environment: TOK}
  run: {file: ./compose.yaml}
`)
	over := filepath.Join(t.TempDir(), "over.yaml")
	if err := os.WriteFile(over, p.Override(map[string]string{"proj-app": "sha256:1$2"}), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Load(t.Context(), Source{Files: append(p.Files(), over), Name: "proj"})
	if err != nil {
		t.Fatal(err)
	}
	services := got.model.Services
	for name, s := range services {
		if s.Build != nil {
			t.Errorf("%s is still built", name)
		}
	}
	app, forced, other := services["app"], services["forced"], services["other"]
	if app.Image != "proj-app" || app.Labels["a"] != "b" || app.Labels[imageLabel] != "sha256:1$2" || app.Command[0] != "x" || len(app.Secrets) != 1 {
		t.Errorf("app is %+v", app)
	}
	if forced.Image != "reg.example/forced" || forced.PullPolicy != "missing" || len(forced.Labels) != 0 {
		t.Errorf("forced is %+v", forced)
	}
	if other.Image != "other" || other.PullPolicy != "always" {
		t.Errorf("other is %+v", other)
	}
	if _, ok := got.model.Secrets["tok"]; ok || len(got.model.Secrets) != 1 || got.model.WorkingDir != p.model.WorkingDir {
		t.Errorf("the project has the secrets %v in %s", got.model.Secrets, got.model.WorkingDir)
	}
}
