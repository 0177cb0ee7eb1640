package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// startRegistry serves a registry that lets robin in with s3cret; $REGISTRY is its address.
func startRegistry(ts *testscript.TestScript, _ bool, _ []string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "robin" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="nest"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	ts.Defer(s.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
}

// fakeHelper is a credential helper that keeps one secret, in a file of the home directory.
func fakeHelper() int {
	path := filepath.Join(os.Getenv("HOME"), "kept")
	input, _ := io.ReadAll(os.Stdin)
	switch os.Args[1] {
	case "store":
		_ = os.WriteFile(path, input, 0o600)
	case "get":
		text, err := os.ReadFile(path)
		var kept struct{ ServerURL string }
		_ = json.Unmarshal(text, &kept)
		if err != nil || kept.ServerURL != string(input) {
			fmt.Println("credentials not found in native keychain")
			return 1
		}
		fmt.Println(string(text))
	case "erase":
		_ = os.Remove(path)
	}
	return 0
}
