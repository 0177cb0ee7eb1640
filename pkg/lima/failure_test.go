package lima

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima/limatest"
	"github.com/linnet-dev/linnet/pkg/vm"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// Whatever limactl fails at: the step's name, limactl's own reason, the log to read or what
// else to do; and what a creation has begun is undone.
func TestEachFailureOfLimactlIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts hundreds of processes")
	}
	const again = "try again; `linnet vm rm` and another start make the virtual machine anew, and keep images, containers and volumes"
	const owner = "see who owns HOME/lima"
	for _, c := range []struct {
		name     string
		instance string
		disk     string
		size     int64
		goal     vm.Goal
		command  string // that fails,
		reason   string // of this
		want     string
		hint     string
		after    vm.Status
		diskStay vm.DiskStatus
	}{
		{
			"no disk can be made", "absent", "none", 0, vm.Started, "disk create", "denied",
			"creating the data disk (100GiB): limactl disk create: mkdir HOME/lima/_disks/default: permission denied", owner, vm.Absent, vm.NoDisk,
		},
		{
			"a disk cannot grow", "stopped", "free", 1 << 30, vm.Started, "disk resize", "shrink",
			"growing the data disk (100GiB): limactl disk resize: specified size `1GiB` is less than the current disk size `2GiB`. Disk shrinking is currently unavailable", again, vm.Halted, vm.Disk,
		},
		{
			"a disk cannot be unlocked", "stopped", "locked", 100 << 30, vm.Started, "disk unlock", "denied",
			"unlocking the data disk: limactl disk unlock: failed to unlock disk `default`: remove HOME/lima/_disks/default/in_use_by: permission denied", owner, vm.Halted, vm.Disk,
		},
		{
			"no machine can be made", "absent", "none", 0, vm.Started, "create", "denied",
			"creating the virtual machine: limactl create: mkdir HOME/lima/default: permission denied", owner, vm.Absent, vm.NoDisk,
		},
		{
			"the image goes away", "absent", "free", 100 << 30, vm.Started, "create", "no-image",
			"creating the virtual machine: limactl create: failed to download `/opt/linnet/libexec/linnet/image/x86_64/nosuch.raw`: failed to open source /opt/linnet/libexec/linnet/image/x86_64/nosuch.raw: open /opt/linnet/libexec/linnet/image/x86_64/nosuch.raw: no such file or directory", "install linnet's image again (`make image` in its sources)", vm.Absent, vm.Disk,
		},
		{
			"QEMU does not start", "stopped", "free", 100 << 30, vm.Started, "start", "qemu",
			"starting the virtual machine: limactl start: qemu-system-x86_64: -device nosuch: 'nosuch' is not a valid device model name", "the log says more: HOME/lima/default/ha.stderr.log", vm.Halted, vm.Disk,
		},
		{
			"limactl believes that it runs", "stopped", "free", 100 << 30, vm.Started, "start", "seems-running",
			"starting the virtual machine: limactl start: errors inspecting instance: [failed to connect to `HOME/lima/default/ha.sock`: stat HOME/lima/default/ha.sock: no such file or directory]", "the log says more: HOME/vm/default/log/limactl-start.log", vm.Halted, vm.Disk,
		},
		{
			"it cannot be removed", "stopped", "free", 100 << 30, vm.Removed, "delete", "denied",
			"removing the virtual machine: limactl delete: failed to delete instance `default`: failed to remove `HOME/lima/default`: unlinkat HOME/lima/default/cidata.iso: permission denied", owner, vm.Halted, vm.Disk,
		},
		{
			"it cannot be asked", "stopped", "free", 100 << 30, vm.Started, "list", "denied",
			"looking at the virtual machine: limactl list: open HOME/lima: permission denied", owner, vm.Halted, vm.Disk,
		},
		{
			"its disk cannot be asked for", "stopped", "free", 100 << 30, vm.Started, "disk list", "denied",
			"looking at the data disk: limactl disk list: open HOME/lima/_disks: permission denied", owner, vm.Halted, vm.Disk,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.want.Config = vmtest.Config(m.want.Shape, "")
			m.check(t, m.fake.Put(c.instance, m.want.Config, c.size, c.disk))
			m.check(t, m.fake.Fail(strings.ReplaceAll(c.command, "delete", "delete -f"), c.reason))
			err := vm.Ensure(t.Context(), m, c.goal, nil)
			if err == nil {
				t.Fatalf("no error, after %q", m.calls(t))
			}
			var h *hint.Error
			plainly := func(s string) string { return strings.ReplaceAll(s, m.o.Layout.Home, "HOME") }
			if plainly(err.Error()) != c.want || !errors.As(err, &h) || plainly(h.Fix) != c.hint {
				t.Errorf("it is told: %s", plainly(told(err)))
			}
			for _, command := range []string{c.command, strings.ReplaceAll(c.command, "delete", "delete -f")} {
				m.check(t, m.fake.Fail(command, ""))
			}
			seen, err := m.Observe(t.Context())
			if err != nil || seen.Status != c.after || seen.Disk != c.diskStay {
				t.Errorf("afterwards the machine is %s, the disk %s (%v)", seen.Status, seen.Disk, err)
			}
			if c.goal == vm.Started {
				if err := vm.Ensure(t.Context(), m, c.goal, nil); err != nil {
					t.Errorf("the next start: %v", err)
				}
			}
			m.calls(t)
		})
	}
}

func (m machine) check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A machine that does not shut down is ended, and the user is told.
func TestAMachineThatDoesNotStopIsEnded(t *testing.T) {
	m := newMachine(t)
	m.check(t, m.fake.Put("running", vmtest.Config(m.want.Shape, ""), 1<<30, "locked"))
	m.check(t, m.fake.Fail("stop", "frozen"))
	if err := vm.Ensure(t.Context(), m, vm.Stopped, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"the virtual machine does not shut down, and is ended: limactl stop: expected status `Running`, got `Broken`"}
	if !slices.Equal(*m.warned, want) || Processes(m.o.Layout).Any() {
		t.Errorf("warned %q, and %+v", *m.warned, Processes(m.o.Layout))
	}
}

// One without a host agent, or that is still coming up, is turned off by its power button; what
// it has written is written. Without a button that works it is ended, and the user is told.
func TestAMachineWithoutAHostAgentIsTurnedOff(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	for name, warned := range map[string][]string{
		"with a button":    {},
		"without a button": {"the virtual machine does not shut down, and is ended: reaching its power button: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.check(t, m.fake.Put("orphaned", vmtest.Config(m.want.Shape, ""), 1<<30, "locked"))
			button := filepath.Join(m.o.Layout.LimaInstance(), "qmp.sock")
			m.check(t, until(t.Context(), func() bool { return host.Listens(button) }))
			if len(warned) > 0 {
				m.check(t, os.Remove(button))
			}
			if err := vm.Ensure(t.Context(), m, vm.Stopped, nil); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*m.warned, warned) || Processes(m.o.Layout).Any() {
				t.Errorf("warned %q, and %+v", *m.warned, Processes(m.o.Layout))
			}
			seen, err := m.Observe(t.Context())
			if err != nil || seen.Status != vm.Halted || seen.DiskUser != "" {
				t.Errorf("it is %+v (%v)", seen, err)
			}
		})
	}
}

func TestALimactlThatCannotBeUsedIsTold(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"missing", "", "it is not there; install linnet whole, or set LINNET_LIBEXEC to the directory of its components"},
		{"too old", "echo limactl version 2.1.4", "is version 2.1.4, and 2.2.0 is needed; install the components of this linnet, or take LINNET_LIBEXEC out of the environment"},
		{"of no version", "echo limactl version HEAD", "is version HEAD, and 2.2.0 is needed; install the components of this linnet, or take LINNET_LIBEXEC out of the environment"},
		{"broken", "echo cannot execute >&2; exit 126", "limactl: cannot execute; install linnet's components again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			limactl := m.o.Layout.Bin("limactl")
			m.check(t, os.Remove(limactl))
			if c.script != "" {
				m.check(t, limatest.WriteProgram(limactl, "#!/bin/sh\n"+c.script+"\n"))
			}
			err := vm.Ensure(t.Context(), m, vm.Started, nil)
			got := strings.ReplaceAll(told(err), limactl+" ", "")
			got = strings.TrimPrefix(strings.ReplaceAll(got, limactl+": ", ""), "limactl cannot be used: ")
			if got != c.want {
				t.Errorf("it is told: %s", told(err))
			}
		})
	}
	m := newMachine(t)
	m.o.Facts.Root = true
	if err := vm.Ensure(t.Context(), m, vm.Started, nil); told(err) != "the virtual machine runs for ordinary users only: Lima refuses the superuser; run linnet as an ordinary user, or set backend: native" {
		t.Errorf("the superuser is told: %s", told(err))
	}
}

func TestVersionsAreComparedByTheirNumbers(t *testing.T) {
	for version, enough := range map[string]bool{
		"2.2.0": true, "v2.2.0": true, "2.2.1": true, "2.10.0": true, "3.0.0": true, "2.2.0-12-gabcdef": true,
		"2.1.9": false, "1.9.9": false, "2": false, "": false, "HEAD": false, "<unknown>": false,
	} {
		if atLeast(version, minimumLima) != enough {
			t.Errorf("%q is enough: %v", version, !enough)
		}
	}
}

// What limactl is given: a directory of ours, no questions, and nothing of the user's environment
// but a closed list.
func TestLimactlGetsAClosedEnvironment(t *testing.T) {
	m := newMachine(t)
	m.o.Environ = append(m.o.Environ, "AWS_SECRET_ACCESS_KEY=x", "LIMA_HOME=/elsewhere", "HTTPS_PROXY=http://proxy", "QEMU_SYSTEM_X86_64=mine", "SSH_AUTH_SOCK=/s")
	log := filepath.Join(t.TempDir(), "log")
	m.check(t, os.Remove(m.o.Layout.Bin("limactl")))
	m.check(t, limatest.WriteProgram(m.o.Layout.Bin("limactl"), "#!/bin/sh\nenv > "+log+"\necho \"$@\" >> "+log+"\n"))
	if _, err := m.limactl(t.Context(), "list"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	m.check(t, err)
	got := strings.Split(strings.TrimSpace(string(text)), "\n")
	got = slices.DeleteFunc(got, func(l string) bool {
		return strings.HasPrefix(l, "PWD=") || strings.HasPrefix(l, "_=") || strings.HasPrefix(l, "SHLVL=")
	})
	slices.Sort(got)
	want := []string{
		"--tty=false --log-format=json list", "HOME=" + m.o.Facts.Home, "HTTPS_PROXY=http://proxy", "LIMA_HOME=" + m.o.Layout.LimaHome(),
		"LOGNAME=ada", m.o.Environ[0], "USER=ada",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("it gets\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for accelerator, sets := range map[string]bool{"tcg": true, "kvm": false, "vz": false} {
		env := m.env(accelerator)
		if slices.Contains(env, "QEMU_SYSTEM_X86_64=qemu-system-x86_64 -machine q35,vmport=off -accel tcg,thread=multi,tb-size=1024") != sets {
			t.Errorf("%s: %q", accelerator, env)
		}
	}
}

// The sshd of a machine is found in what Lima writes before it starts it.
func TestHowToReachAMachineIsReadFromItsFiles(t *testing.T) {
	m := newMachine(t)
	m.want.Config = vmtest.Config(m.want.Shape, "")
	if _, err := ReadTarget(m.o.Layout); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of none: %v", err)
	}
	if err := vm.Ensure(t.Context(), m, vm.Started, nil); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTarget(m.o.Layout)
	if want := (Target{"127.0.0.1:60022", "ada", m.o.Layout.LimaKey()}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if p := Processes(m.o.Layout); !p.HostAgent || !p.Driver {
		t.Errorf("its processes: %+v", p)
	}
	// What an earlier start has written is not read by those who wait for this one.
	m.check(t, m.Do(t.Context(), m.want, vm.Step{Kind: vm.Stop}, nil))
	m.check(t, os.WriteFile(Consoles(m.o.Layout)[0], []byte(earlyMark+"another start's failure\n"), 0o600))
	m.check(t, m.fake.Fail("start", "no-image"))
	if err := m.Do(t.Context(), m.want, vm.Step{Kind: vm.Start}, nil); err == nil {
		t.Error("it started")
	}
	if why := consoleFailure(m.o.Layout); why != "" {
		t.Errorf("its console says %q", why)
	}
	if _, err := ReadTarget(m.o.Layout); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of one that did not start: %v", err)
	}
}

// A process that has ended is not alive because its parent has not collected it, as is so under an
// init that is slow at it.
func TestAProcessThatHasEndedIsNotAlive(t *testing.T) {
	cmd := exec.Command("true")
	m := newMachine(t)
	m.check(t, cmd.Start())
	defer cmd.Wait() //nolint:errcheck // it has succeeded, and only has to be collected
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := until(ctx, func() bool { return !alive(cmd.Process.Pid) }); err != nil {
		t.Errorf("it is alive: %v", err)
	}
	// Neither does its file keep limactl from starting the machine.
	m.check(t, m.fake.Put("stopped", vmtest.Config(m.want.Shape, ""), 100<<30, "free"))
	path := filepath.Join(m.o.Layout.LimaInstance(), "ha.pid")
	m.check(t, os.WriteFile(path, fmt.Appendln(nil, cmd.Process.Pid), 0o600))
	m.forget()
	if exists(path) {
		t.Error("its file is there")
	}
}
