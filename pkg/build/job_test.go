package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// shown is an error with its hint, as the user sees it.
func shown(err error) string {
	switch fix := hint.Of(err); {
	case err == nil:
		return ""
	case fix == "":
		return err.Error()
	default:
		return err.Error() + " | " + fix
	}
}

func TestHostsInEveryForm(t *testing.T) {
	got, err := addHosts([]string{"a:1.2.3.4", "b=::1", "c:[::2]", "d:1.1.1.1,2.2.2.2"})
	if want := "a=1.2.3.4,b=::1,c=::2,d=1.1.1.1,d=2.2.2.2"; err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []string{"a", "a:", ":1.2.3.4", "a:nope"} {
		if _, err := addHosts([]string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestTheBuiltInFrontendCoversWhatItIs(t *testing.T) {
	for name, want := range map[string]bool{
		"docker/dockerfile": true, "docker/dockerfile:1": true, "docker/dockerfile:1.4": true, "docker.io/docker/dockerfile:1.7.1": true,
		"docker/dockerfile:latest": true, "docker/dockerfile:1.999": false, "docker/dockerfile:2": false, "docker/dockerfile:1-labs": false,
		"docker/dockerfile:1.4-labs": false, "docker/dockerfile-upstream:master": false, "other/dockerfile:1": false, "ghcr.io/docker/dockerfile:1": false,
		"docker/dockerfile:1@sha256:" + strings.Repeat("a", 64): false, "UPPER": false,
	} {
		if got := covered(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if s := Syntax(); !strings.HasPrefix(s, "docker/dockerfile:1.") {
		t.Error(s)
	}
}

// BuildKit's names of the secrets that it shows are those that a user is warned of.
func TestSecretsThatGitShowsAreBuildKits(t *testing.T) {
	if want := []string{llb.GitAuthTokenKey, llb.GitAuthHeaderKey}; !slices.Equal(options.GitSecrets, want) {
		t.Errorf("%q, want %q", options.GitSecrets, want)
	}
}

func TestWhatCannotBeBuiltAgainIsNotRemembered(t *testing.T) {
	for _, o := range []options.Options{
		{Context: ""}, // fetched, or from standard input
		{Context: "/app", File: "-"},
		{Context: "/app", Request: "outline"},
	} {
		if r, ok := (&job{dir: o.Context, options: o}).recipe("/work"); ok {
			t.Errorf("there is %+v", r)
		}
	}
	o := options.Options{Context: "app", Target: "app", NoCache: true, Pull: true, Tags: []string{"app"}, Secrets: []options.Secret{{ID: "npm", File: "~/.npmrc"}}}
	r, ok := (&job{dir: "/work/app", options: o}).recipe("/work")
	want := options.Options{Context: "/work/app", Target: "app", Secrets: o.Secrets}
	if !ok || r.Dir != "/work" || !reflect.DeepEqual(r.Options, want) {
		t.Errorf("it is remembered as %+v, %t, want %+v", r, ok, want)
	}
}

func TestABuildLooksIntoWhatMayBeItsProjects(t *testing.T) {
	s := Session{Layout: host.Layout{Home: t.TempDir()}}
	for tag, project := range map[string]string{"a": "example.com/shop", "b": "example.com/desk", "c": ""} {
		dir := filepath.Join(s.Layout.ImportedCache(), tag)
		text := fmt.Sprintf(`{"tag":%q,"project":%q}`, tag, project)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, state.ImportedFile), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for project, want := range map[string]string{"example.com/shop": "a c", "example.com/desk": "b c", "example.com/else": "c", "": "a b c"} {
		j := &job{}
		s.addImported(j, options.Options{Project: project})
		var got []string
		for _, i := range j.opt.CacheImports {
			if i.Type != "local" || i.Attrs["src"] != filepath.Join(s.Layout.ImportedCache(), i.Attrs["tag"]) {
				t.Errorf("it looks into %+v", i)
			}
			got = append(got, i.Attrs["tag"])
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("a build of %q looks into %q, want %q", project, got, want)
		}
	}
	j := &job{}
	s.addImported(j, options.Options{NoCache: true})
	if len(j.opt.CacheImports) > 0 {
		t.Error("a build without cache looks into it")
	}
}
