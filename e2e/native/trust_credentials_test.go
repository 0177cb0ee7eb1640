//go:build e2e && linux

package native_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// nest is a credential helper that knows every registry, and notes in a file which it was asked for.
func nest(asked string) string {
	return "#!/bin/sh\nread -r name\necho \"$name\" >> " + asked + "\n" +
		`printf '{"ServerURL":"%s","Username":"robin","Secret":"s3cret"}' "$name"` + "\n"
}

// asking is a guest that asks for credentials and notes which it was given.
func (h *hostileGuest) asking(registries []string) (given *atomic.Int64) {
	given = &atomic.Int64{}
	h.run = func(s agentpb.Commands_RunServer) error {
		for id, registry := range registries {
			m := &agentpb.CredentialsRequest{Id: int64(id), Registry: registry}
			if err := s.Send(&agentpb.RunReply{What: &agentpb.RunReply_Credentials{Credentials: m}}); err != nil {
				return err
			}
		}
		for range registries {
			for {
				m, err := s.Recv()
				if err != nil {
					return err
				}
				if c := m.GetCredentials(); c != nil {
					if c.GetSecret() != "" {
						given.Add(1)
					}
					break
				}
			}
		}
		return s.Send(&agentpb.RunReply{What: &agentpb.RunReply_Exit{Exit: &agentpb.Exit{}}})
	}
	return given
}

func TestAGuestGetsTheCredentialsThatALineNeeds(t *testing.T) {
	var registries []string
	for i := range 200 {
		registries = append(registries, fmt.Sprintf("r%d.example.com", i))
	}
	for _, c := range []struct {
		line  string
		given int64 // secrets
		says  string
	}{
		{"ps", 0, `linnet: the guest's agent does not keep to the protocol: it asks for the credentials of "r0.example.com", and this command was given none`},
		{"images", 0, `and this command was given none`},
		{"nerdctl ps", 0, `and this command was given none`},
		{"pull alpine", 0, `warning: the engine asked for the credentials of "r0.example.com", "r1.example.com", "r2.example.com" and more (197 times): it was given none`},
		{"pull r7.example.com/a", 1, "and more (196 times)"},
		{"create r7.example.com/a true", 1, "and more (196 times)"},
		{"nerdctl push r7.example.com/a", 1, "and more (196 times)"},
		{"compose -f COMPOSE pull", 2, "and more (195 times)"},
		{"compose -f COMPOSE up -d", 2, "and more (195 times)"},
		{"nerdctl build .", 16, "and more (181 times)"},
	} {
		t.Run(strings.ReplaceAll(c.line, "/", "_"), func(t *testing.T) {
			h := newHostileGuest(t)
			asked := filepath.Join(h.User, "asked")
			compose := filepath.Join(h.User, "compose.yaml")
			for path, text := range map[string]string{
				filepath.Join(h.User, "docker-credential-nest"): nest(asked),
				filepath.Join(h.User, ".docker", "config.json"): `{"credsStore":"nest"}`,
				compose: "services: {a: {image: r7.example.com/a}, b: {image: '${R:-r8}.example.com/b', profiles: [x]}, c: {image: c}}\n",
			} {
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
					t.Fatal(err)
				}
			}
			h.Env = append(h.Env, "PATH="+h.User+":"+os.Getenv("PATH"))
			given := h.asking(registries)
			h.serve(t, h.layout.VMSocket("agent"))
			m := h.measure(t, strings.Fields(strings.ReplaceAll(c.line, "COMPOSE", compose))...)
			text, _ := os.ReadFile(asked) // never asked
			if n := int64(strings.Count(string(text), "\n")); n != c.given || given.Load() != c.given {
				t.Errorf("the helper was asked %d times, and the guest has %d secrets, want %d", n, given.Load(), c.given)
			}
			if !strings.Contains(m.Err, c.says) {
				t.Errorf("it says %q", m.Err)
			}
		})
	}
}

// privateRegistry is a registry that lets robin in, with an image named private.
func privateRegistry(t *testing.T) (address string) {
	t.Helper()
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, secret, ok := r.BasicAuth(); !ok || user != "robin" || secret != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="nest"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	address = strings.TrimPrefix(server.URL, "http://")
	ref, err := name.ParseReference(address + "/private")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithAuth(&authn.Basic{Username: "robin", Password: "s3cret"})); err != nil {
		t.Fatal(err)
	}
	return address
}

// A build has the credentials of what it really begins with, whatever a Dockerfile's variables say,
// and of where it goes: with the frontend in the client, and with the one at the engine.
func TestABuildHasTheCredentialsOfItsImages(t *testing.T) {
	e := lab.Shared(t)
	base, copied, pushed := privateRegistry(t), privateRegistry(t), privateRegistry(t)
	user := t.TempDir()
	asked := filepath.Join(user, "asked")
	dir := filepath.Join(user, "project")
	for path, text := range map[string]string{
		filepath.Join(user, "docker-credential-nest"): nest(asked),
		filepath.Join(user, "config.json"):            `{"credsStore":"nest"}`,
		filepath.Join(dir, "Dockerfile"):              "ARG REGISTRY=none.example.com\nFROM ${REGISTRY}/private\nCOPY --from=" + copied + "/private / /copied\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	engine := &lab.Engine{Home: e.Home, User: e.User, Env: append(slices.Clone(e.Env), "DOCKER_CONFIG="+user, "PATH="+user+":"+os.Getenv("PATH"))}
	for _, flags := range [][]string{nil, {"--provenance=true"}} {
		args := append([]string{"build", "--pull", "--no-cache", "--build-arg", "REGISTRY=" + base, "--output", "type=image,push=true,name=" + pushed + "/app"}, flags...)
		if r := engine.Run(t, append(args, dir)...); r.Code != 0 || strings.Contains(r.Err, "asked for the credentials") {
			t.Errorf("%q: exit code %d\n%s", flags, r.Code, r.Err)
		}
		got := strings.Fields(read(t, asked))
		slices.Sort(got)
		want := []string{base, copied, pushed}
		slices.Sort(want)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%q: the helper was asked for %q, want %q", flags, got, want)
		}
		if err := os.Remove(asked); err != nil {
			t.Fatal(err)
		}
	}
}
