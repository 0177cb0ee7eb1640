package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

func grantFor(t *testing.T, hostsDirs ...string) *Grant {
	t.Helper()
	dir := t.TempDir()
	text := `{"auths": {
		"https://index.docker.io/v1/": {"auth": "bWU6aHVi"}, "a.example.com": {"auth": "bWU6YQ=="},
		"b.example.com": {"auth": "bWU6Yg=="}, "mirror.example.com:5000": {"auth": "bWU6bQ=="}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Open([]string{"DOCKER_CONFIG=" + dir}).Grant(hostsDirs...)
}

func secretOf(t *testing.T, g *Grant, registry string) string {
	t.Helper()
	got, err := g.Credentials(t.Context(), registry)
	if err != nil {
		t.Errorf("%s: %v", registry, err)
	}
	return got.Secret
}

func TestAGrantAnswersForWhatIsNamedAlone(t *testing.T) {
	g := grantFor(t)
	g.Allow("docker.io", "a.example.com")
	for registry, want := range map[string]string{
		"https://index.docker.io/v1/": "hub", "registry-1.docker.io": "hub", "docker.io:443": "hub",
		"a.example.com": "a", "https://a.example.com:443/": "a", "a.example.com:443": "a",
		"b.example.com": "", "a.example.com:5000": "", "sub.a.example.com": "", "a.example.com\n": "",
	} {
		if got := secretOf(t, g, registry); got != want {
			t.Errorf("%q gets %q, want %q", registry, got, want)
		}
	}
	for i := range 50_000 {
		if got, err := g.Credentials(t.Context(), fmt.Sprintf("r%d.example.com\x1b", i)); err != nil || got != (guest.Credentials{}) {
			t.Fatalf("%d gets %v, %v", i, got, err)
		}
	}
	got := g.Refused()
	if !strings.HasPrefix(got, `the engine asked for the credentials of "`) || !strings.Contains(got, " and more (50001 times): it was given none") || strings.Contains(got, "\x1b") || len(got) > 700 {
		t.Errorf("it says %q", got)
	}
	if n := len(g.config.known); n > 2 {
		t.Errorf("%d look-ups", n)
	}
}

func TestAFewRegistriesMayBeAskedForThatWereNotNamed(t *testing.T) {
	g := grantFor(t)
	g.AllowOthers()
	if got := secretOf(t, g, "a.example.com"); got != "a" {
		t.Errorf("the first gets %q", got)
	}
	for i := range 100 {
		g.AllowOthers()
		secretOf(t, g, fmt.Sprintf("r%d.example.com", i))
	}
	if got := secretOf(t, g, "b.example.com"); got != "" {
		t.Errorf("after a hundred others: %q", got)
	}
	if got := secretOf(t, g, "a.example.com"); got != "a" {
		t.Errorf("the first gets %q", got)
	}
}

func TestAMirrorIsAskedForInARegistrysPlace(t *testing.T) {
	for _, name := range []string{"a.example.com", "_default"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		text := "server = \"https://a.example.com\"\n\n[host.\"https://mirror.example.com:5000/v2\"]\n  capabilities = [\"pull\"]\n# [host.\"https://b.example.com\"]\n"
		if err := os.WriteFile(filepath.Join(dir, name, "hosts.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g := grantFor(t, filepath.Join(dir, "absent"), dir)
		if got := secretOf(t, g, "mirror.example.com:5000"); got != "" {
			t.Errorf("%s: before: %q", name, got)
		}
		g.Allow("a.example.com")
		if m, b := secretOf(t, g, "mirror.example.com:5000"), secretOf(t, g, "b.example.com"); m != "m" || b != "" {
			t.Errorf("%s: the mirror gets %q, another %q", name, m, b)
		}
	}
}
