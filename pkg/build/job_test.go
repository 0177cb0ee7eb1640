package build

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

func variables(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if value, ok := strings.CutPrefix(p, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// shown is an error with its hint, as the user sees it.
func shown(err error) string {
	if err == nil {
		return ""
	}
	var hinted *hint.Error
	if errors.As(err, &hinted) {
		return err.Error() + " | " + hinted.Fix
	}
	return err.Error()
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
