package gather_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/gather"
)

// written makes files below a new directory, by their paths.
func written(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func read(tb testing.TB, dir string, paths ...string) *lens.Project {
	tb.Helper()
	p, _, err := gather.Host{Dir: dir, Home: filepath.Join(dir, "home"), Today: time.Unix(0, 0)}.Read(tb.Context(), paths)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// What is searched for has the usual names, and is not in directories of others, nor where the project says that it is not to be looked at.
func TestFilesOfTheUsualNamesAreFound(t *testing.T) {
	const from, service = "FROM scratch\n", "services: {a: {image: 'a:1'}}\n"
	dir := written(t, map[string]string{
		".git/Dockerfile": from, "node_modules/a/Dockerfile": from, "third/Dockerfile": from, "a/vendor/Dockerfile": from,
		"Dockerfile": from, "Dockerfile.dev": from, "Dockerfile.tmpl": from, "Dockerfile.dockerignore": "a\n", "b/web.Dockerfile": from, "c/Containerfile": from, ".devcontainer/Dockerfile": from, "MyDockerfile": from,
		"compose.yaml": service, "docker-compose.yml": service, "b/docker-compose.yml": service, "b/compose.prod.yaml": service,
		".linnet/lens.yaml": "exclude: [third]\n",
	})
	var found []string
	p := read(t, dir)
	for _, d := range p.Dockerfiles {
		found = append(found, d.Name)
	}
	for _, c := range p.Compose {
		found = append(found, c.Name)
	}
	const want = ".devcontainer/Dockerfile Dockerfile Dockerfile.dev b/web.Dockerfile c/Containerfile b/docker-compose.yml compose.yaml"
	if got := strings.Join(found, " "); got != want {
		t.Errorf("found %s\nwant  %s", got, want)
	}
}

// A Dockerfile is built from what a compose file says, or else from its own directory, or from the one above it that has all it copies.
func TestEachDockerfileHasItsContext(t *testing.T) {
	dir := written(t, map[string]string{
		"Dockerfile":            "FROM scratch\nCOPY src /\n",
		"src/a":                 "",
		"build/api/Dockerfile":  "FROM scratch\nCOPY src /\n",
		"own/Dockerfile":        "FROM scratch\nCOPY . /\n",
		"gone/Dockerfile":       "FROM scratch\nCOPY nowhere /\n",
		"web/deploy/Dockerfile": "FROM scratch\nCOPY . /\n",
		"none/Dockerfile":       "FROM scratch\nCOPY --from=a:1 /b /c\n",
		"compose.yaml":          "services: {web: {build: {context: web, dockerfile: deploy/Dockerfile}}}\n",
		"src/.dockerignore":     "x\n",
		"own/.dockerignore":     "skipped\n", "own/skipped/a": "", "own/kept": "",
	})
	want := map[string]string{"Dockerfile": ".", "build/api/Dockerfile": ".", "own/Dockerfile": "own", "gone/Dockerfile": "gone", "web/deploy/Dockerfile": "web", "none/Dockerfile": ""}
	for _, d := range read(t, dir).Dockerfiles {
		got := ""
		if d.Context != nil {
			got = d.Context.Dir
		}
		if got != want[d.Name] {
			t.Errorf("%s is built from %q, want %q", d.Name, got, want[d.Name])
		}
		if d.Name == "own/Dockerfile" && (len(d.Context.Files) != 3 || !d.Context.Ignored) {
			t.Errorf("its context is %+v", d.Context)
		}
	}
}

// A Dockerfile may be a link to one of another directory, and is built from where it stands.
func TestADockerfileMayBeALink(t *testing.T) {
	dir := written(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "app/a": ""})
	if err := os.Symlink("../Dockerfile", filepath.Join(dir, "app", "Dockerfile")); err != nil {
		t.Fatal(err)
	}
	p := read(t, dir, "app")
	if len(p.Dockerfiles) != 1 || len(p.Dockerfiles[0].Stages) != 1 || p.Dockerfiles[0].Context.Dir != "app" {
		t.Errorf("found %+v", p.Dockerfiles)
	}
}

// A project of 20 Dockerfiles and 50,000 files is to be checked in less than a second, of which the start of the program is a twentieth.
func BenchmarkAProjectOf50000Files(b *testing.B) {
	dir := b.TempDir()
	for i := range 20 {
		service := filepath.Join(dir, fmt.Sprintf("service%02d", i))
		for j := range 25 {
			sub := filepath.Join(service, "src", fmt.Sprintf("package%02d", j))
			if err := os.MkdirAll(sub, 0o755); err != nil {
				b.Fatal(err)
			}
			for k := range 100 {
				if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("file%03d.go", k)), nil, 0o644); err != nil {
					b.Fatal(err)
				}
			}
		}
		text := "FROM golang:1.26 AS build\nWORKDIR /src\nCOPY . .\nRUN go build -o /app ./...\nFROM debian:12-slim\nRUN apt-get update && apt-get install -y curl\nCOPY --from=build /app /app\nUSER 10001\nCMD [\"/app\"]\n"
		if i == 0 {
			text += "COPY service01 /all\n" // from the top: a context with all of them
		}
		if err := os.WriteFile(filepath.Join(service, "Dockerfile"), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		p, c, err := gather.Host{Dir: dir, Today: time.Unix(0, 0)}.Read(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		if len(lens.Run(p, c)) == 0 {
			b.Fatal("nothing was found")
		}
	}
	if each := b.Elapsed() / time.Duration(b.N); each > time.Second {
		b.Errorf("it takes %v", each)
	}
}
