package options

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// withHint is an error with its hint, as the user sees it.
func withHint(err error) string {
	switch fix := hint.Of(err); {
	case err == nil:
		return ""
	case fix == "":
		return err.Error()
	default:
		return err.Error() + " | " + fix
	}
}

func TestBuildArgsTakeTheHostsValue(t *testing.T) {
	got, err := ParseArgs([]string{"A=b=c", "HERE", "GONE", "EMPTY="}, hosttest.Lookup("HERE=x,y"))
	if want := map[string]string{"A": "b=c", "HERE": "x,y", "EMPTY": ""}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := ParseArgs([]string{"=x"}, hosttest.Lookup()); withHint(err) != `--build-arg "=x": the name is missing | --build-arg NAME=value, or --build-arg NAME` {
		t.Error(withHint(err))
	}
}

func TestSecretsAreFilesOrVariables(t *testing.T) {
	for value, want := range map[string]Secret{
		"id=a,src=~/.npmrc":        {ID: "a", File: "~/.npmrc"},
		"id=a,source=f":            {ID: "a", File: "f"},
		"id=a,env=B":               {ID: "a", Env: "B"},
		"type=env,id=a,src=B":      {ID: "a", Env: "B"},
		"type=file,id=SET":         {ID: "SET", File: "SET"},
		"type=env,id=GONE":         {ID: "GONE", Env: "GONE"},
		"id=SET":                   {ID: "SET", Env: "SET"},
		"id=GONE":                  {ID: "GONE", File: "GONE"},
		`id=a,"src=with,comma"`:    {ID: "a", File: "with,comma"},
		"ID=a,SRC=f":               {ID: "a", File: "f"},
		"type=file,id=a,src=x=y=z": {ID: "a", File: "x=y=z"},
	} {
		got, err := ParseSecret(value, hosttest.Lookup("SET=1"))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
	for value, want := range map[string]string{
		"src=f":           "the id is missing",
		"id=a,type=x":     `type "x" is neither file nor env`,
		"id=a,dst=f":      `"dst" means nothing here`,
		"id":              `"id" is not of the form key=value`,
		`id=a,"src=open`:  `is not a comma-separated list`,
		"id=a,src=f,mode": `"mode" is not of the form key=value`,
	} {
		if _, err := ParseSecret(value, hosttest.Lookup()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestOutputsAreDirectoriesOrExporters(t *testing.T) {
	for value, want := range map[string]Output{
		"out":                             {Type: "local", Dest: "out", Attrs: map[string]string{}},
		"-":                               {Type: "tar", Dest: "-", Attrs: map[string]string{}},
		"type=oci,dest=a.tar,tar=false":   {Type: "oci", Dest: "a.tar", Attrs: map[string]string{"tar": "false"}},
		"type=image,name=x,push=true":     {Type: "image", Attrs: map[string]string{"name": "x", "push": "true"}},
		`type=image,"name=a,b",unpack=no`: {Type: "image", Attrs: map[string]string{"name": "a,b", "unpack": "no"}},
	} {
		got, err := ParseOutput(value)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
	for value, want := range map[string]string{
		"type=nope":  `--output "type=nope": there is no type "nope" | one of image, registry, local, tar, oci, docker, cacheonly`,
		"type=local": `--output "type=local": it says not where to | type=local,dest=PATH`,
		"dest=a,b":   `--output "dest=a,b": "b" is not of the form key=value`,
	} {
		if _, err := ParseOutput(value); withHint(err) != want {
			t.Errorf("%s: %s", value, withHint(err))
		}
	}
}

func TestCachesAreImagesOrTyped(t *testing.T) {
	got, err := ParseCache("cache-from", "user/app:cache,other")
	if want := []Cache{{"registry", map[string]string{"ref": "user/app:cache"}}, {"registry", map[string]string{"ref": "other"}}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for flag, value := range map[string]string{"cache-from": "type=local,dest=x", "cache-to": "type=local,src=x"} {
		if _, err := ParseCache(flag, value); err == nil || !strings.Contains(err.Error(), "the directory is missing") {
			t.Errorf("%s: %v", value, err)
		}
	}
	if _, err := ParseCache("cache-to", "ref=x"); err == nil || !strings.Contains(err.Error(), "the type is missing") {
		t.Error(err)
	}
}

func TestAttestationsAndTheirShorthands(t *testing.T) {
	for _, c := range []struct {
		attests          []string
		provenance, sbom string
		want             map[string]string
	}{
		{nil, "", "", map[string]string{}},
		{nil, "true", "false", map[string]string{"provenance": "type=provenance", "sbom": Disabled}},
		{nil, "mode=max", "generator=image", map[string]string{"provenance": "mode=max,type=provenance", "sbom": "generator=image,type=sbom"}},
		{[]string{"type=sbom,disabled=true"}, "", "", map[string]string{"sbom": Disabled}},
		{[]string{"type=provenance,mode=max"}, "false", "", map[string]string{"provenance": Disabled}},
	} {
		got, err := ParseAttests(c.attests, c.provenance, c.sbom)
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%q %q %q: %q, %v", c.attests, c.provenance, c.sbom, got, err)
		}
	}
}

func TestAddressesThatAreTheSameProject(t *testing.T) {
	for address, want := range map[string]string{
		"https://github.com/some/one.git":           "github.com/some/one",
		"https://user:pass@github.com/some/one":     "github.com/some/one",
		"git@github.com:some/one.git":               "github.com/some/one",
		"ssh://git@GitHub.com:22/some/one.git":      "github.com/some/one",
		"/srv/git/one.git":                          "",
		"file:///srv/git/one.git":                   "",
		"https://gitlab.example/group/sub/app.git/": "gitlab.example/group/sub/app",
	} {
		if got := plainAddress(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestSecretsThatGitShowsAreNamed(t *testing.T) {
	o := Options{Secrets: []Secret{{ID: "npm"}, {ID: "GIT_AUTH_TOKEN"}, {ID: "GIT_AUTH_HEADER.example.com"}, {ID: "GIT_AUTH_TOKENS"}}}
	got := o.Remarks()
	if len(got) != 2 || !strings.HasPrefix(got[0], "the secret GIT_AUTH_TOKEN: ") || !strings.HasPrefix(got[1], "the secret GIT_AUTH_HEADER.example.com: ") {
		t.Errorf("%q", got)
	}
}
