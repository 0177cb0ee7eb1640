package lima

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// Files that a machine has left, as in a power cut, name numbers that others have by now: it does
// not run, it can be started, and no other process is ended for it.
func TestAnotherProcessIsNotTakenForTheMachines(t *testing.T) {
	for _, goal := range []vm.Goal{vm.Started, vm.Stopped, vm.Removed} {
		t.Run(string(goal), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			// As an editor that has a file of the machine open.
			other := exec.Command("/bin/sh", "-c", "while :; do sleep 0.1; done", "vi", filepath.Join(m.o.Layout.LimaInstance(), "lima.yaml"))
			m.check(t, other.Start())
			t.Cleanup(func() {
				_ = other.Process.Kill() // it may have been ended
				_ = other.Wait()
			})
			m.want.Config = vmtest.Config(m.want.Shape, "")
			m.check(t, m.fake.Put("stopped", m.want.Config, 100<<30, "free"))
			for _, name := range []string{"ha.pid", "qemu.pid"} {
				m.check(t, os.WriteFile(filepath.Join(m.o.Layout.LimaInstance(), name), fmt.Appendln(nil, other.Process.Pid), 0o600))
			}
			if p := Processes(m.o.Layout); p.Any() {
				t.Errorf("it has processes: %+v", p)
			}
			if seen, err := m.Observe(t.Context()); err != nil || seen.Status != vm.Halted {
				t.Errorf("it is %s (%v)", seen.Status, err)
			}
			if err := vm.Ensure(t.Context(), m, goal, nil); err != nil {
				t.Error(err)
			}
			if !alive(other.Process.Pid) {
				t.Error("the other process was ended")
			}
			m.calls(t)
		})
	}
}

// Of a machine of which one process runs, limactl ends that one and not the process that has the number of
// another.
func TestWhatIsLeftOfAMachineIsEndedAlone(t *testing.T) {
	other := exec.Command("sleep", "600")
	m := newMachine(t)
	m.check(t, other.Start())
	t.Cleanup(func() {
		_ = other.Process.Kill() // it may have been ended
		_ = other.Wait()
	})
	m.check(t, m.fake.Put("hollow", vmtest.Config(m.want.Shape, ""), 100<<30, "free"))
	m.check(t, os.WriteFile(filepath.Join(m.o.Layout.LimaInstance(), "qemu.pid"), fmt.Appendln(nil, other.Process.Pid), 0o600))
	if err := vm.Ensure(t.Context(), m, vm.Stopped, nil); err != nil {
		t.Error(err)
	}
	if Processes(m.o.Layout).Any() || !alive(other.Process.Pid) {
		t.Errorf("the machine has %+v, and the other process lives: %v", Processes(m.o.Layout), alive(other.Process.Pid))
	}
	if calls := m.calls(t); !slices.Contains(calls, "stop -f default") {
		t.Errorf("calls %q", calls)
	}
}

// Lima resolves the links on the way to its directory, and so its processes' arguments have none.
func TestAMachineBehindALinkHasItsProcesses(t *testing.T) {
	m := newMachine(t)
	m.check(t, m.fake.Put("running", vmtest.Config(m.want.Shape, ""), 100<<30, "locked"))
	link := filepath.Join(filepath.Dir(m.o.Layout.Home), "link")
	m.check(t, os.Symlink(m.o.Layout.Home, link))
	if p := Processes(host.Layout{Home: link}); !p.HostAgent || !p.Driver {
		t.Errorf("its processes: %+v", p)
	}
}
