//go:build e2e && linux

package vm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// TestDemoEnvironment: the demo's project, a service and its database, comes up from a data
// disk that was there before the machine, is fetched from the host, and keeps what it was told
// when the machine is made anew.
func TestDemoEnvironment(t *testing.T) {
	e := ownMachine(t)
	importStore(t, e)
	dir := filepath.Join(e.User, "demo")
	if out, err := exec.Command("cp", "-r", filepath.Join(lab.Root(), "examples", "demo"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	compose := func(args ...string) {
		t.Helper()
		cmd := e.Command(t.Context(), append([]string{"compose"}, args...)...)
		cmd.Dir, cmd.Env = dir, append(cmd.Env, "PORT="+port, "GREETING=hello", "COMPOSE_PROJECT_NAME=demo")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("compose %q: %v\n%s", args, err, &out)
		}
	}
	says := func(path, what string) {
		t.Helper()
		lab.Eventually(t, "the page with "+what, func() bool {
			text, err := fetch("http://127.0.0.1:" + port + "/" + path)
			return err == nil && strings.Contains(text, what)
		})
	}
	compose("up", "-d")
	says("?guest=Ada", "guests: Ada")
	says("", "hello")
	compose("down")
	must(t, e, "vm", "rm")
	compose("up", "-d")
	says("", "guests: Ada")
	compose("down", "-v")
}

// importStore gives a machine that is not there yet the data disk that was prepared.
func importStore(t *testing.T, e *lab.Engine) {
	t.Helper()
	limactl := filepath.Join(lab.Root(), "libexec", "linnet", "bin", "limactl")
	cmd := exec.CommandContext(t.Context(), limactl, "disk", "import", "default", filepath.Join(lab.Root(), lab.StoreDisk))
	cmd.Env = append(os.Environ(), "LIMA_HOME="+filepath.Join(e.Home, "lima"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("importing the data disk: %v\n%s", err, out)
	}
}
