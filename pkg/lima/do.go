package lima

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Do does one step of a plan. Its errors say what limactl said, and what to do.
func (m *Machine) Do(ctx context.Context, want vm.Spec, step vm.Step, note func(text string)) error {
	l := m.o.Layout
	size := strconv.FormatInt(want.DataDisk, 10)
	switch step.Kind {
	case vm.Tidy:
		return gone(os.Remove(step.Arg))
	case vm.EndStart:
		return end(ctx, syscall.SIGTERM, startPID(l))
	case vm.Stop:
		return m.withHint(m.stop(ctx), "")
	case vm.PowerOff:
		return m.withHint(m.powerOff(ctx), "")
	case vm.Kill:
		return m.withHint(m.kill(ctx), "")
	case vm.Fetch:
		return m.fetch(ctx, note)
	case vm.Delete:
		return m.withHint(m.remove(ctx), "")
	case vm.RemoveTorn:
		return m.removeTorn(ctx)
	case vm.DeleteDisk:
		return m.withHint(m.deleteDisk(ctx), "")
	case vm.RemoveTornDisk:
		return m.removeTornDisk()
	case vm.RemoveFiles:
		return m.removeFiles()
	case vm.CreateDisk:
		_, err := m.limactl(ctx, "disk", "create", l.Machine(), "--size="+size)
		return m.withHint(err, "")
	case vm.UnlockDisk:
		return m.withHint(m.effect(ctx, func() bool { return !exists(filepath.Join(l.LimaDisk(), "in_use_by")) }, "disk", "unlock", l.Machine()), "")
	case vm.GrowDisk:
		_, err := m.limactl(ctx, "disk", "resize", l.Machine(), "--size="+size)
		return m.withHint(err, "")
	case vm.Create:
		return m.withHint(m.create(ctx, want), "")
	case vm.Configure:
		return m.configure(want)
	case vm.Start:
		return m.start(ctx, want)
	case vm.Wait:
		return m.wait(ctx)
	}
	return fmt.Errorf("there is no step %q", step.Kind)
}

// told gives limactl's failure the one thing to do, which depends on its reason.
func (m *Machine) withHint(err error, log string) error {
	var failed *failure
	if err == nil || !errors.As(err, &failed) {
		return err
	}
	fix := "try again; `linnet vm rm` and another start make the virtual machine anew, and keep images, containers and volumes"
	switch {
	case strings.Contains(failed.reason, syscall.ENOSPC.Error()):
		fix = "free some space, or set LINNET_HOME to a directory on another disk"
	case strings.Contains(failed.reason, "failed to open source"):
		fix = "install linnet's image again (`make image` in its sources)"
	case strings.Contains(failed.reason, "ermission denied"):
		fix = "see who owns " + m.o.Layout.LimaHome()
	case log != "":
		fix = "the log says more: " + log
	}
	return &hint.Error{Err: err, Fix: fix}
}

// gone takes it for done when there is nothing to remove any more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// effect runs a limactl that may warn, do nothing and call it success: ok reports whether it did.
func (m *Machine) effect(ctx context.Context, ok func() bool, args ...string) error {
	_, log, err := m.run(ctx, args...)
	if err != nil || ok() {
		return err
	}
	return &failure{command: command(args, m.o.Layout.Machine()), reason: warnings(log)}
}

// graceful is how long a machine may take to shut down before it is ended.
const graceful = 2 * time.Minute

// stop shuts the machine down, and ends it when it does not.
func (m *Machine) stop(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, graceful)
	defer cancel()
	_, err := m.limactl(limited, "stop", m.o.Layout.Machine())
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	why := err.Error()
	if limited.Err() != nil {
		why = "it takes longer than " + graceful.String()
	}
	m.warn("the virtual machine does not shut down, and is ended: " + why)
	return m.kill(ctx)
}

// kill ends the machine's processes.
func (m *Machine) kill(ctx context.Context) error {
	pids := m.pids()
	m.forget() // limactl ends whatever has the number
	if _, err := m.limactl(ctx, "stop", "-f", m.o.Layout.Machine()); err != nil {
		return err
	}
	return end(ctx, syscall.SIGKILL, pids...) // limactl does not wait for them
}

// pids are the processes of the machine.
func (m *Machine) pids() (all []int) {
	for _, name := range []string{"ha.pid", qemu + ".pid", vz + ".pid"} {
		if pid := owned(m.o.Layout, name); pid != 0 {
			all = append(all, pid)
		}
	}
	return all
}

// end sends a signal to processes that are not our children, and waits for their end. After a
// while it sends SIGKILL.
func end(ctx context.Context, signal syscall.Signal, pids ...int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		if pid == 0 {
			continue
		}
		_ = syscall.Kill(pid, signal) // ended meanwhile
		for waited := 0; alive(pid); waited++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			switch waited {
			case 250:
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case 500:
				return fmt.Errorf("ending process %d: it does not end", pid)
			}
		}
	}
	return nil
}

// remove removes the machine, and by what its sshd was known.
func (m *Machine) remove(ctx context.Context) error {
	l := m.o.Layout
	// limactl removes what is mounted in there, too.
	if err := host.CheckUnmounted("removing the virtual machine", l.LimaInstance()); err != nil {
		return err
	}
	m.forget() // limactl ends whatever has the number
	err := m.effect(ctx, func() bool { return !exists(l.LimaInstance()) }, "delete", "-f", l.Machine())
	if err != nil {
		return err
	}
	return gone(os.Remove(l.HostKey()))
}

// removeTorn removes what limactl will not: a machine's directory with no configuration in it.
func (m *Machine) removeTorn(ctx context.Context) error {
	l := m.o.Layout
	if err := end(ctx, syscall.SIGTERM, startPID(l)); err != nil {
		return err
	}
	if err := end(ctx, syscall.SIGKILL, m.pids()...); err != nil {
		return err
	}
	return errors.Join(host.RemoveTree(l.LimaInstance()), gone(os.Remove(l.HostKey())))
}

func (m *Machine) deleteDisk(ctx context.Context) error {
	dir := m.o.Layout.LimaDisk()
	if err := host.CheckUnmounted("removing the data disk", dir); err != nil {
		return err
	}
	_, err := m.limactl(ctx, "disk", "delete", "-f", m.o.Layout.Machine())
	if ctx.Err() != nil || !exists(dir) {
		return err
	}
	return host.RemoveTree(dir) // one that limactl cannot read
}

func (m *Machine) removeTornDisk() error {
	dir := m.o.Layout.LimaDisk()
	if exists(filepath.Join(dir, "datadisk")) {
		return fmt.Errorf("there is a disk in %s", dir)
	}
	return host.RemoveTree(dir)
}

// removeFiles removes the directories around the machine: ours, and Lima's when nothing is in it
// but what limactl makes by itself.
func (m *Machine) removeFiles() error {
	l := m.o.Layout
	left, err := os.ReadDir(l.LimaHome())
	if gone(err) != nil {
		return err
	}
	disks, _ := os.ReadDir(filepath.Dir(l.LimaDisk())) // none: none is left
	ours := len(disks) == 0
	for _, entry := range left {
		ours = ours && strings.HasPrefix(entry.Name(), "_")
	}
	if ours {
		err = host.RemoveTree(l.LimaHome())
	}
	err = errors.Join(err, host.RemoveTree(l.VM()))
	_ = os.Remove(filepath.Dir(l.VM())) // unless there is another
	return err
}

// create makes the machine from a configuration that is not marked as whole; the mark comes
// when it is. A machine of which limactl, or the host, has made only a part is found by that.
func (m *Machine) create(ctx context.Context, want vm.Spec) error {
	path := m.o.Layout.VMConfig()
	if err := host.WriteFile(path, []byte(vm.Draft(want.Config)), 0o600); err != nil {
		return host.HomeError(m.o.Layout.Home, err)
	}
	if _, err := m.limactl(ctx, "create", "--name="+m.o.Layout.Machine(), path); err != nil {
		return err
	}
	if err := m.configure(want); err != nil {
		return err
	}
	m.made(ctx)
	return nil
}

// fetch brings the image.
func (m *Machine) fetch(ctx context.Context, note func(text string)) error {
	source, err := m.source(ctx)
	if err != nil || source.Fetch == nil {
		return err
	}
	return source.Fetch(ctx, note)
}

// made tells where the image came from that a machine was made from it.
func (m *Machine) made(ctx context.Context) {
	source, err := m.source(ctx)
	if err != nil || source.Made == nil {
		return
	}
	if err := source.Made(ctx); err != nil && ctx.Err() == nil {
		m.warn("images that no virtual machine uses are still there: " + err.Error())
	}
}

func (m *Machine) configure(want vm.Spec) error {
	path := filepath.Join(m.o.Layout.LimaInstance(), "lima.yaml")
	if err := host.WriteFile(path, []byte(want.Config), 0o600); err != nil {
		return host.HomeError(m.o.Layout.Home, err)
	}
	return nil
}

func (m *Machine) warn(text string) {
	if m.o.Warn != nil {
		m.o.Warn(text)
	}
}
