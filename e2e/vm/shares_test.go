//go:build e2e && linux

package vm_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// atHome gives the machine of a test the LINNET_HOME that a user has who sets none: in the home directory,
// which is shared.
func atHome(t *testing.T, e *lab.Engine) {
	t.Helper()
	e.Home = filepath.Join(e.User, ".linnet")
	configure(t, e, "")
}

// homeIsKept: the home directory is shared, and LINNET_HOME in it is not: no container, and no root of the
// machine that takes off what covers it, finds anything there.
func homeIsKept(t *testing.T, e *lab.Engine, image string) {
	status := must(t, e, "vm", "status")
	for _, want := range []string{"shares:  " + e.User + ", ", "; not " + e.Home + "\n", "can change every file below " + e.User + " as you can, but for " + e.Home + ", and no other of this host"} {
		if !strings.Contains(status+"\n", want) {
			t.Errorf("the status does not say %q:\n%s", want, status)
		}
	}
	seen := must(t, e, "run", "--rm", "--network=none", "-v", e.User+":/h", image, "sh", "-c", "ls -A /h/.linnet; touch /h/.linnet/made 2>/dev/null && echo written; touch /h/by-a-container")
	if seen != "docker.sock" { // a link, to nothing that a container has
		t.Errorf("a container sees %q", seen)
	}
	const uncover = `ls -A "$0"; touch "$0/made" 2>/dev/null && echo written
umount "$0" && echo uncovered; ls -A "$0"; touch "$0/made" 2>/dev/null && echo written
mount -t tmpfs -o ro linnet-hidden "$0"`
	if out := must(t, e, "vm", "shell", "sudo", "sh", "-c", uncover, e.Home); out != "docker.sock\nuncovered" {
		t.Errorf("the machine's root sees %q", out)
	}
	if _, err := os.Stat(filepath.Join(e.Home, "made")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made in %s: %v", e.Home, err)
	}
	r := e.Run(t, "run", "--rm", "-v", e.Home+":/x", image, "true")
	want := "linnet: " + e.Home + " is not visible to the engine: it belongs to linnet itself, and the virtual machine does not see " + e.Home + "\nhint: keep it elsewhere\n"
	if r.Code != 1 || r.Err != want {
		t.Errorf("exit code %d, stderr %q, want %q", r.Code, r.Err, want)
	}
}

// chooseDirectories has the machine share nothing of the home but a directory; it takes effect at the next start.
func chooseDirectories(t *testing.T, e *lab.Engine) (chosen string) {
	t.Helper()
	chosen = filepath.Join(e.User, "chosen")
	if err := os.MkdirAll(chosen, 0o755); err != nil {
		t.Fatal(err)
	}
	e.Env = append(e.Env, "LINNET_VM_MOUNTS=~:off,~/chosen")
	return chosen
}

// chosenAlone: of the home there is nothing in the machine but what was chosen, and the guest's own link to Docker's socket.
func chosenAlone(t *testing.T, e *lab.Engine, image, chosen string) {
	must(t, e, "run", "--rm", "--network=none", "-v", chosen+":/c", image, "touch", "/c/made")
	if _, err := os.Stat(filepath.Join(chosen, "made")); err != nil {
		t.Error(err)
	}
	if r := e.Run(t, "run", "--rm", "-v", e.User+":/h", image, "true"); r.Code != 1 || !strings.Contains(r.Err, "it is in no directory that the virtual machine shares") {
		t.Errorf("the home: exit code %d, stderr %q", r.Code, r.Err)
	}
	if out := must(t, e, "vm", "shell", "sudo", "sh", "-c", `ls -A "$0" "$0/.linnet"; grep -c " 9p " /proc/mounts`, e.User); out != e.User+":\n.linnet\nchosen\n\n"+e.User+"/.linnet:\ndocker.sock\n1" {
		t.Errorf("the machine has of the home %q", out)
	}
	if out := must(t, e, "vm", "status"); !strings.Contains(out, "shares:  "+chosen+"\n") || !strings.Contains(out, "can change every file below "+chosen+" as you can, and no other of this host") {
		t.Errorf("the status is\n%s", out)
	}
}

// hostKeyIsKnown: the relay connects to no machine whose key it does not know, and to none that has another.
func hostKeyIsKnown(t *testing.T, e *lab.Engine, _ string) {
	file := filepath.Join(e.Home, "vm", "default", "host_key")
	known, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(file, known, 0o600); err != nil {
			t.Error(err)
		}
		endRelays(t)
		must(t, e, "ps")
	}()
	for what, spoil := range map[string]func() error{
		"no key is known": func() error { return os.Remove(file) },
		"another is known": func() error {
			return os.WriteFile(file, []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"), 0o600)
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		endRelays(t)
		r := e.Run(t, "ps")
		if r.Code != 1 || !strings.Contains(r.Err, "the guest's host key") || !strings.HasSuffix(r.Err, "hint: linnet vm restart: each start of the virtual machine has a new key\n") {
			t.Errorf("where %s: exit code %d, stdout %q, stderr %q", what, r.Code, r.Out, r.Err)
		}
	}
}

// endRelays has the next command start another.
func endRelays(t *testing.T) {
	t.Helper()
	for _, pid := range processes(t, "vm relay") {
		kill(t, pid)
	}
}
