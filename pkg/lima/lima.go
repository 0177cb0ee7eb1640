// Package lima is the virtual machine that Lima runs: limactl is asked what there is and told
// what to do (Machine), and what runs in it is reached as somewhere containers can run (Guest).
//
// It exists so that Lima can be taken as it is, a program, pinned like the others. It must not
// know what a container or a setting's file is, nor what stands above the Guest.
package lima

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Options are what a Machine is made of.
type Options struct {
	Layout host.Layout
	// Environ is this process's environment; limactl gets a closed list of it.
	Environ []string
	Facts   Facts
	Wanted  Wanted
	Report  *report.Reporter
	// Ports are what the machine may have listen on this host.
	Ports relay.PortRules
	// SSHAgent says that the machine has the user's SSH agent, which SSH_AUTH_SOCK names when its relay starts.
	SSHAgent bool
	// Docker says that clients of Docker's API reach the engine over a socket here, too, when its relay starts.
	Docker bool
	// Program is linnet itself, which some of the machine's processes are started through; without it
	// they are started as they are.
	Program string
	// Warn tells the user something that goes on all the same; nil tells nothing.
	Warn func(text string)
	// Image says where the image for an architecture, as Go names it, is; beside is where one stands that came with the client.
	// Nil: there. Its error, which has a hint, is why there is none.
	Image func(ctx context.Context, arch, beside string) (Source, error)
	// Engine returns what the engine is started with, as JSON, in a machine that shares directories; nil means that none is.
	Engine func(shares []Mount) ([]byte, error)

	// Launched is called when the machine has been launched, before its agent is waited
	// for; nil means that nothing has to be done then.
	Launched func(ctx context.Context) error
	// Answers says at once whether the agent answers. Wait returns when it does, or when ctx
	// ends, which it does when the start has failed. Nil: a machine that runs, answers.
	Answers func(ctx context.Context) bool
	Wait    func(ctx context.Context) error
}

// Machine is the virtual machine; it implements vm.Machine.
type Machine struct {
	o Options
	// kvm is the device that offers KVM: tests have another.
	kvm string
	// views reports, once, whether the machine's processes can be given views.
	views func() bool
}

var _ vm.Machine = (*Machine)(nil)

// New returns the machine; nothing is done yet.
func New(o Options) *Machine {
	m := &Machine{o: o, kvm: kvmDevice}
	m.views = sync.OnceValue(m.tryViews)
	return m
}

// Ensure makes the machine as the goal says, with named steps.
func (m *Machine) Ensure(ctx context.Context, goal vm.Goal) error {
	return vm.Ensure(ctx, m, goal, m.o.Report)
}

// Plan says what Ensure would do, and what the user should know.
func (m *Machine) Plan(ctx context.Context, goal vm.Goal) (vm.Plan, error) {
	_, plan, err := vm.Find(ctx, m, goal)
	return plan, err
}

// Lock makes the directories for it and takes the lock of the one client that changes the machine.
func (m *Machine) Lock(ctx context.Context) (release func(), err error) {
	l := m.o.Layout
	if err := l.CheckDirs(); err != nil {
		return nil, err
	}
	defer tellWaiting(m.o.Report, "waiting for another command that changes the virtual machine")()
	for {
		for _, dir := range []string{l.VMRun(), filepath.Dir(l.VMLog("relay"))} {
			if err := host.MakeDir(dir); err != nil {
				return nil, host.HomeError(l.Home, err)
			}
		}
		if err := l.KeepVersion(); err != nil {
			return nil, host.HomeError(l.Home, err)
		}
		lock, err := host.Lock(ctx, l.VMLock("start"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // removed meanwhile, with all else
		case err != nil && ctx.Err() == nil:
			return nil, host.HomeError(l.Home, err)
		case err != nil:
			return nil, err
		}
		return func() { lock.Close() }, nil
	}
}

// Answers reports whether the machine's agent answers.
func (m *Machine) Answers(ctx context.Context) bool {
	if m.o.Answers == nil {
		return Processes(m.o.Layout).Driver
	}
	return m.o.Answers(ctx)
}

// Want is what the settings mean on this host.
func (m *Machine) Want(ctx context.Context) (vm.Spec, error) {
	// What does not fit is said before anything is tried out.
	if err := m.o.Facts.check(m.o.Layout); err != nil {
		return vm.Spec{}, err
	}
	chosen, err := m.o.Wanted.choose(m.o.Facts)
	if err != nil {
		return vm.Spec{}, err
	}
	if chosen.mounts, err = existing(chosen.mounts); err != nil {
		return vm.Spec{}, err
	}
	userHome, _, err := host.Resolve(m.o.Facts.Home)
	if err != nil {
		userHome = m.o.Facts.Home
	}
	if chosen.hidden, err = chosen.hide(hostNames(), m.linnetHome(), userHome, m.views); err != nil {
		return vm.Spec{}, err
	}
	if len(chosen.hidden) > 0 && m.views() {
		chosen.mounts = m.viewed(chosen.mounts)
	}
	source, err := m.source(ctx)
	if err == nil {
		chosen.image, _ = source.read() // without an image nothing is made, and Observe says why
	}
	if err := m.accelerate(ctx, &chosen, source.From == ""); err != nil {
		return vm.Spec{}, err
	}
	if m.o.Engine != nil {
		if chosen.engine, err = m.o.Engine(chosen.mounts); err != nil {
			return vm.Spec{}, err
		}
	}
	chosen.machine = m.o.Layout.Machine()
	return chosen.render()
}

// accelerate decides what runs the machine's instructions; there says that the image is there to try it with.
func (m *Machine) accelerate(ctx context.Context, chosen *choice, there bool) error {
	switch chosen.accelerator {
	case "kvm":
		if d := device(m.kvm); d != "there" {
			return &hint.Error{Err: fmt.Errorf("configuring the virtual machine: vm.accelerator: %q, and %s", "kvm", noDevice(d)), Fix: deviceHint(d)}
		}
	case auto:
		shape, made := ReadShape(m.o.Layout)
		switch {
		case there:
			chosen.accelerator = m.accelerator(ctx, *chosen)
		case made:
			chosen.accelerator = shape.Accelerator
		default:
			chosen.accelerator = "kvm" // it is decided when the image is there
		}
	}
	return ctx.Err()
}

// existing resolves the links on the way to each directory: the guest has it where it really is.
func existing(mounts []Mount) ([]Mount, error) {
	found := make([]Mount, len(mounts))
	for i, mount := range mounts {
		path, err := filepath.EvalSymlinks(mount.Path)
		info, statErr := os.Stat(path)
		switch {
		case err != nil:
			return nil, &hint.Error{Err: fmt.Errorf("sharing %s: %w", mount.Path, hint.Cause(err)), Fix: "make the directory, or take it out of vm.mounts"}
		case statErr == nil && !info.IsDir():
			return nil, &hint.Error{Err: fmt.Errorf("sharing %s: it is not a directory", mount.Path), Fix: "name its directory in vm.mounts instead"}
		}
		found[i] = Mount{Path: path, ReadOnly: mount.ReadOnly}
	}
	return found, nil
}
