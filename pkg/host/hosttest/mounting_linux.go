package hosttest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// mayNotMount is what a test says in a namespace of its own where the kernel lets it have no mount, either.
const mayNotMount = "this kernel lets no user but root mount"

// Mounting runs f where it may mount: root runs it as it is, and for anybody else this very test is started once more, as
// root of a user and mount namespace of its own.
func Mounting(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	const inside = "LINNET_TEST_MOUNTING"
	if os.Geteuid() == 0 {
		if os.Getenv(inside) != "" && errors.Is(syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""), os.ErrPermission) {
			t.Skip(mayNotMount)
		}
		f(t)
		return
	}
	var pattern []string
	for name := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(name)+"$")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run="+strings.Join(pattern, "/"))
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch exit := (*exec.ExitError)(nil); {
	case err != nil && !errors.As(err, &exit), bytes.Contains(out, []byte(mayNotMount)):
		t.Skipf("%s: %v", mayNotMount, err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("it did not run there:\n%s", out)
	}
}
