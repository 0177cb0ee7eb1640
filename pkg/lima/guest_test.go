package lima

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// Lima gives the user another name where this one is none that Linux takes.
func TestTheShellIsThatOfTheUserInTheMachine(t *testing.T) {
	m := newMachine(t)
	g := NewGuest(m.o, "/nosuch/linnet")
	want := []string{"sudo", "-n", "-H", "-u", "ada", "--", "id"}
	if got := g.Shell([]string{"id"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	m.check(t, m.fake.Put("running", vmtest.Config(m.want.Shape, ""), 100<<30, "locked"))
	path := filepath.Join(m.o.Layout.LimaInstance(), "ssh.config")
	m.check(t, os.WriteFile(path, []byte("Host lima-default\n  User lima\n  Hostname 127.0.0.1\n  Port 60022\n"), 0o600))
	want[4] = "lima"
	if got := g.Shell([]string{"id"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Lima writes the only console of a machine of macOS to another file.
func TestTheConsoleIsWhereLimaWritesIt(t *testing.T) {
	for kind, want := range map[string]string{qemu: "serial.log", vz: "serialv.log"} {
		m := newMachine(t)
		m.want.Type = kind
		m.check(t, m.fake.Put("stopped", vmtest.Config(m.want.Shape, ""), 100<<30, "free"))
		logs := NewGuest(m.o, "/nosuch/linnet").Logs()
		if got := logs[len(logs)-1]; got.Name != "serial" || filepath.Base(got.Path) != want {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}
