//go:build e2e && linux

// Package vm_test runs the finished linnet on the real engine in a real Lima virtual machine,
// as an ordinary user that it makes. Started as root, it starts itself again as that user.
package vm_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// slow is how much longer things may take than on this host: the machine may be emulated.
const slow = 5

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() == 0 {
		prepare := func(root string) error { return errors.Join(lab.Store(root), dockerCLI(root), dockerClients(root)) }
		switch only := flag.Lookup("test.run").Value.String(); {
		case strings.Contains(only, "TestSmoke"):
			prepare = nil // nothing of it is used
		case strings.Contains(only, "TestDocker"):
			prepare = func(root string) error { return errors.Join(dockerCLI(root), dockerClients(root)) }
		}
		os.Exit(lab.AsUser([]string{"build", "image"}, prepare))
	}
	lab.Timeout *= slow
	os.Exit(run(m))
}

func run(m *testing.M) int {
	defer lab.CloseShared()
	return m.Run()
}

// machine is one virtual machine for all tests that do not care what else runs in it.
func machine(t *testing.T) *lab.Engine {
	t.Helper()
	e := lab.Shared(t)
	configure(t, e, "")
	return e
}

// ownMachine is a virtual machine of this test alone; none is made yet.
func ownMachine(t *testing.T) *lab.Engine {
	t.Helper()
	e := lab.New(t)
	configure(t, e, "")
	return e
}

// configure writes the settings of a small machine, and what a test adds below vm:.
func configure(t *testing.T, e *lab.Engine, more string) {
	t.Helper()
	if err := os.MkdirAll(e.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("backend: lima\nvm:\n  cpus: 2\n  memory: 3GiB\n  disk: 20GiB\n  mounts: [%q]\n%s", readOnlyShare(t)+":ro", more)
	if err := os.WriteFile(filepath.Join(e.Home, "linnet.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readOnlyShare is a directory that every machine shares read-only.
func readOnlyShare(t *testing.T) string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, "read-only")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// share makes a directory that the machine sees: it is below the home of its commands.
func share(t *testing.T, e *lab.Engine) string {
	t.Helper()
	dir, err := os.MkdirTemp(e.User, "share-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// must runs a command that has to succeed and says how long it took.
func must(t *testing.T, e *lab.Engine, args ...string) string {
	t.Helper()
	from := time.Now()
	out := e.Must(t, args...)
	t.Logf("%6.1f s  linnet %q", time.Since(from).Seconds(), args)
	return out
}
