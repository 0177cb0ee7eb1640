package agentserver

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// TestMain lets this binary be the credential helper, under its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == HelperName {
		os.Exit(Helper(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// withHelper puts the helper on the PATH of commands.
func withHelper(t *testing.T) func(*Options) {
	t.Helper()
	bin := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, HelperName)); err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.Env[0] = "PATH=" + bin + ":/usr/bin:/bin"
		o.CredentialsEnv = []string{"DOCKER_CONFIG=/run/linnet/docker"}
	}
}

func TestTheHelperAsksTheClientOfItsCommand(t *testing.T) {
	c := newLab(t, withHelper(t)).client(t)
	answers := func(_ context.Context, registry string) (guest.Credentials, error) {
		switch registry {
		case "https://index.docker.io/v1/":
			return guest.Credentials{Username: "anna", Secret: "p\"ä\n"}, nil
		case "token.example:5000":
			return guest.Credentials{Username: "<token>", Secret: "t"}, nil
		case "broken.example":
			return guest.Credentials{}, errors.New("the keychain is locked")
		}
		return guest.Credentials{}, nil
	}
	for _, x := range []struct {
		registry, want string
		answers        func(context.Context, string) (guest.Credentials, error)
	}{
		{"https://index.docker.io/v1/", `{"ServerURL":"https://index.docker.io/v1/","Username":"anna","Secret":"p\"ä\n"}` + "\n0 /run/linnet/docker\n", answers},
		{"token.example:5000", `{"ServerURL":"token.example:5000","Username":"\u003ctoken\u003e","Secret":"t"}` + "\n0 /run/linnet/docker\n", answers},
		{"other.example", "credentials not found in native keychain\n1 /run/linnet/docker\n", answers},
		{"broken.example", "the keychain is locked\n1 /run/linnet/docker\n", answers},
		{"", "no credentials server URL\n1 /run/linnet/docker\n", answers},
		{"unanswered.example", "credentials not found in native keychain\n1\n", nil},
	} {
		p := sh(`printf '%s\n' "$1" | docker-credential-linnet get; echo $? $DOCKER_CONFIG`, x.registry)
		p.Credentials = x.answers
		if got := result(t, c, p); got != x.want {
			t.Errorf("%s: the helper says %q, want %q", x.registry, got, x.want)
		}
	}
}

func TestATokenIsGoodForItsCommandAlone(t *testing.T) {
	l := newLab(t, withHelper(t))
	c := l.client(t)
	p := sh("printf %s $LINNET_CREDENTIALS")
	p.Credentials = func(context.Context, string) (guest.Credentials, error) {
		return guest.Credentials{Username: "u", Secret: "s"}, nil
	}
	token, socket, _ := strings.Cut(result(t, c, p), "@")
	if len(token) < 20 || socket != l.socket {
		t.Fatalf("the command was given %q at %q", token, socket)
	}
	again, _, _ := strings.Cut(result(t, c, p), "@")
	if token == again {
		t.Error("two commands have the same token")
	}
	for _, token := range []string{token, "", "guess"} {
		if got, err := c.Credentials(t.Context(), token, "example.com"); err == nil || got.Secret != "" {
			t.Errorf("token %q was answered", token)
		}
	}
	p = sh(`env | grep -c '^\(LINNET_CREDENTIALS\|DOCKER_CONFIG\)='; true`)
	if got := result(t, c, p); got != "0\n" {
		t.Errorf("a command whose client answers nothing has %s of the variables", got)
	}
}

func TestWhatTheHelperDoesNotDo(t *testing.T) {
	elsewhere := "credentials are kept on the host: use linnet login and linnet logout there\n"
	for action, want := range map[string]string{
		"store": elsewhere, "erase": elsewhere, "": "usage: docker-credential-linnet get|list|store|erase|version\n",
		"get": "credentials not found in native keychain\n",
	} {
		var out bytes.Buffer
		if code := Helper(t.Context(), []string{action}, nil, strings.NewReader("example.com"), &out); code != 1 || out.String() != want {
			t.Errorf("%s: exit code %d, %q", action, code, out.String())
		}
	}
	for action, want := range map[string]string{"list": "{}\n", "version": HelperName + " " + agent.Version + "\n"} {
		var out bytes.Buffer
		if code := Helper(t.Context(), []string{action}, nil, strings.NewReader(""), &out); code != 0 || out.String() != want {
			t.Errorf("%s: exit code %d, %q", action, code, out.String())
		}
	}
}
