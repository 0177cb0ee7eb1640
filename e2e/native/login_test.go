//go:build e2e && linux

package native_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// login and logout work on the user's own Docker configuration.
func TestLoginWritesTheUsersConfig(t *testing.T) {
	e := lab.New(t)
	registry := passwordRegistry(t)
	config := filepath.Join(e.User, ".docker", "config.json")

	r := e.RunIn(t, strings.NewReader("wrong"), "login", "-u", "robin", "--password-stdin", registry)
	if r.Code == 0 {
		t.Fatal("a wrong password was accepted")
	}
	if _, err := os.Stat(config); err == nil && strings.Contains(read(t, config), registry) {
		t.Error("a refused login was written down")
	}
	r = e.RunIn(t, strings.NewReader("s3cret"), "login", "-u", "robin", "--password-stdin", registry)
	if r.Code != 0 {
		t.Fatalf("login: %s%s", r.Out, r.Err)
	}
	var file struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal([]byte(read(t, config)), &file); err != nil {
		t.Fatal(err)
	}
	if file.Auths[registry].Auth != "cm9iaW46czNjcmV0" { // robin:s3cret
		t.Errorf("the configuration holds %+v", file)
	}
	e.Must(t, "logout", registry)
	if text := read(t, config); strings.Contains(text, registry) {
		t.Errorf("after logout it holds %s", text)
	}
}

// A credential helper that the configuration names is asked, and gets the secret on its
// standard input.
func TestLoginAsksTheCredentialHelper(t *testing.T) {
	e := lab.New(t)
	registry := passwordRegistry(t)
	dir := t.TempDir()
	helper := "#!/bin/sh\ncase $1 in store) cat > " + dir + "/stored;; get) printf '{\"ServerURL\":\"%s\",\"Username\":\"robin\",\"Secret\":\"s3cret\"}' \"$(cat)\";; erase) cat > " + dir + "/erased;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-nest"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(e.User, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(e.User, ".docker", "config.json")
	if err := os.WriteFile(config, []byte(`{"credsStore":"nest"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Env = append(e.Env, "PATH="+dir+":"+os.Getenv("PATH"))
	r := e.RunIn(t, strings.NewReader("s3cret"), "login", "-u", "robin", "--password-stdin", registry)
	if r.Code != 0 {
		t.Fatalf("login: %s%s", r.Out, r.Err)
	}
	if stored := read(t, filepath.Join(dir, "stored")); !strings.Contains(stored, `"Secret":"s3cret"`) {
		t.Errorf("the helper was given %s", stored)
	}
	if text := read(t, config); strings.Contains(text, "cm9iaW4") || strings.Contains(text, "s3cret") {
		t.Errorf("the secret is in the configuration: %s", text)
	}
	e.Must(t, "logout", registry)
	if _, err := os.Stat(filepath.Join(dir, "erased")); err != nil {
		t.Error("the helper was not asked to erase")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// passwordRegistry is a registry that lets robin in with s3cret.
func passwordRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "robin" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="nest"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
