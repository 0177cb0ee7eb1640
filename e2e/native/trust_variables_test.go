//go:build e2e && linux

package native_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/e2e/internal/pinned"
	"github.com/linnet-dev/linnet/e2e/internal/scan"
)

// outsiders watches every program that is started on the way to a container, the hooks of the container and what they start
// included, for a marker in its environment or on its command line. A container's own programs are those in /bin.
type outsiders struct {
	*lab.Engine
	m     scan.Marker
	execs scan.Execs

	mu    sync.Mutex
	found []string
	seen  map[string]bool
}

func newOutsiders(t *testing.T, e *lab.Engine) *outsiders {
	t.Helper()
	o := &outsiders{Engine: e, m: scan.NewMarker(), seen: map[string]bool{}}
	o.execs.At = func(x scan.Exec) {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", x.PID))
		if err != nil || len(x.Argv) == 0 || x.First {
			return // what was typed is on the first command line
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, word := range x.Argv { // the second of a script's
			o.seen[filepath.Base(word)] = true
		}
		for pair := range bytes.SplitSeq(environ, []byte{0}) {
			if o.m.In(pair) != "" && x.Argv[0] != "/bin/env" && x.Argv[0] != "/bin/sleep" {
				o.found = append(o.found, fmt.Sprintf("%s has %.60s", x.Argv[0], pair))
			}
		}
	}
	return o
}

// run runs a traced command line and returns what it wrote.
func (o *outsiders) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := o.Command(t.Context(), args...)
	cmd.Stdout, cmd.Stderr = out, out
	if _, err := o.execs.Run(cmd); err != nil {
		t.Fatalf("linnet %.80q: %v", args, err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// report fails the test with what was found, and where the marker is on a command line.
func (o *outsiders) report(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	slices.Sort(o.found)
	for _, f := range slices.Compact(o.found) {
		t.Error(f)
	}
	for _, h := range o.execs.Find(o.m) {
		t.Error(h)
	}
}

// helper is a credential helper of the user's, which knows no password.
func (o *outsiders) helper(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-own"), []byte("#!/bin/sh\necho credentials not found in native keychain\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(o.User, ".docker")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"credsStore":"own"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Env = append(o.Env, "PATH="+bin+":"+os.Getenv("PATH"))
}

// TestVariablesReachTheContainerAlone: whatever name a variable of a container has, no program on the way sees it, and the
// container gets it. The names are all that those programs may look up.
func TestVariablesReachTheContainerAlone(t *testing.T) {
	t.Parallel()
	o := newOutsiders(t, lab.New(t))
	o.helper(t)
	o.run(t, "ps") // the engine's own processes are watched from their start
	image := o.Busybox(t)
	names, err := pinned.Lookups(t.Context(), lab.SourceRoot())
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for _, name := range names {
		flags = append(flags, "-e", name+"="+string(o.m)+" of "+name)
	}
	arrived := func(how, out string) {
		t.Helper()
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return name == "HOSTNAME" || strings.Contains(out, "\n"+name+"="+string(o.m)+" of "+name+"\n")
		})
		if len(missing) > 0 {
			t.Errorf("%s: %d of %d variables did not arrive: %.200q\n%.300s", how, len(missing), len(names), missing, out)
		}
	}
	line := func(words ...string) []string { return slices.Insert(slices.Clone(words), 1, flags...) }
	arrived("run", "\n"+o.run(t, line("run", "--rm", "-p", "127.0.0.1:"+freePort(t)+":80", image, "/bin/env")...))
	o.run(t, line("run", "-d", "--name", "long", "-p", "127.0.0.1:"+freePort(t)+":80", image, "/bin/sleep", "1000")...)
	arrived("exec", "\n"+o.run(t, line("exec", "long", "/bin/env")...))
	o.run(t, line("create", "--name", "made", "--network=none", image, "/bin/env")...)
	arrived("create and start", "\n"+o.run(t, "start", "-a", "made"))
	o.run(t, "rm", "-f", "long", "made")
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer registry.Close()
	o.run(t, line("run", "--rm", strings.TrimPrefix(registry.URL, "http://")+"/none/such", "true")...)
	o.report(t)
	for _, program := range []string{"nerdctl", "iptables", "docker-credential-own", "runc", "containerd-shim-runc-v2", "env"} {
		if !o.seen[program] {
			t.Errorf("%s was not watched: it did not run", program)
		}
	}
	o.Must(t, "engine", "reset", "--force")
	o.execs.Drain()
}

// TestVariablesOfServicesReachTheirContainersAlone: the same through compose. Without the mend that sees to it the same test
// finds them on a command line.
func TestVariablesOfServicesReachTheirContainersAlone(t *testing.T) {
	t.Parallel()
	compose := func(t *testing.T, e *lab.Engine) *outsiders {
		o := newOutsiders(t, e)
		o.run(t, "ps")
		file := filepath.Join(t.TempDir(), "compose.yaml")
		value := string(o.m) + " #\n"
		text := fmt.Sprintf("services:\n  one:\n    image: %s\n    network_mode: none\n    command: [/bin/sleep, \"1000\"]\n"+
			"    environment: {LD_PRELOAD: %q, IPTABLES_LIB_DIR: %q}\n", o.Busybox(t), value, value)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := o.run(t, "compose", "-p", "vars", "-f", file, "up", "-d"); o.m.In([]byte(out)) != "" {
			o.found = append(o.found, "up prints it: "+out)
		}
		out := o.run(t, "compose", "-p", "vars", "-f", file, "exec", "-T", "-e", "TYPED="+string(o.m), "one", "/bin/env")
		for _, want := range []string{"LD_PRELOAD=" + value, "IPTABLES_LIB_DIR=" + value, "TYPED=" + string(o.m) + "\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q did not arrive: %q", want, out)
			}
		}
		o.run(t, "rm", "-f", "vars-one-1")
		o.run(t, "compose", "-p", "vars", "-f", file, "down")
		return o
	}
	o := compose(t, lab.New(t))
	o.report(t)
	t.Run("Unmended", func(t *testing.T) {
		e := lab.New(t)
		e.Env = append(e.Env, lab.Unmended(t, "nerdctl", "compose-variables"))
		if o := compose(t, e); len(o.found)+len(o.execs.Find(o.m)) == 0 {
			t.Error("without the mend nothing is seen")
		}
	})
}
