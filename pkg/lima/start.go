package lima

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// patience is how long a machine may take until its agent answers.
const patience = 10 * time.Minute

// endedError is why nothing runs any more that could come to answer.
type endedError struct{ error }

func (e *endedError) Unwrap() error { return e.error }

// start launches the machine and waits until its agent answers, which is long before limactl
// finds it ready. limactl goes on by itself; when this process is interrupted, the next one
// finds a machine that is being started.
func (m *Machine) start(ctx context.Context, want vm.Spec) error {
	started, err := m.launch(want)
	if err != nil {
		return err
	}
	go func() { _ = started.Wait() }() // what became of it is in its log
	if m.o.Launched != nil {
		err = m.o.Launched(ctx)
	}
	switch {
	case err == nil:
		err = m.wait(ctx)
	case ctx.Err() == nil && m.gone():
		err = &endedError{m.startFailure()} // which is why
	}
	var ended *endedError
	if errors.As(err, &ended) {
		// What has come up of it would be in the way of the next start.
		err = errors.Join(err, m.kill(context.WithoutCancel(ctx)))
	}
	return err
}

// launch starts limactl in the background, with a lock of its own that says so.
func (m *Machine) launch(want vm.Spec) (*host.Started, error) {
	l := m.o.Layout
	log := l.VMLog("limactl-start")
	m.forget()
	for _, path := range append(Consoles(l), log, m.hostAgentLog(), filepath.Join(l.LimaInstance(), "ssh.config")) {
		if err := gone(os.Remove(path)); err != nil { // what stands there is of another start
			return nil, host.HomeError(l.Home, err)
		}
	}
	if err := m.tellHostKey(want.Config); err != nil {
		return nil, err
	}
	lock, err := host.TryLock(l.VMLock("limactl"))
	if errors.Is(err, host.ErrLocked) {
		// Something of an earlier machine still has it: that is not a start any more.
		if err := gone(os.Remove(l.VMLock("limactl"))); err != nil {
			return nil, host.HomeError(l.Home, err)
		}
		lock, err = host.TryLock(l.VMLock("limactl"))
	}
	if err != nil {
		return nil, host.HomeError(l.Home, err)
	}
	defer lock.Close()
	argv := append(append([]string{l.Bin("limactl")}, global...), "start", l.Machine())
	through, err := m.through(want.Config)
	if err != nil {
		return nil, err
	}
	started, err := host.Daemon{
		Argv: append(through, argv...), Apart: len(through) > 0, Env: m.env(want.Accelerator), Dir: "/", Log: log, ExtraFiles: []*os.File{lock},
	}.Start()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(lock.Name(), []byte(strconv.Itoa(started.PID)+"\n"), 0o600); err != nil {
		return nil, host.HomeError(l.Home, err)
	}
	return started, nil
}

// forget removes the files that name processes which have ended. limactl, which does so too,
// takes one that its parent has not collected for alive, and a process that has the number now for
// the machine's: it refuses to start, or ends that one.
func (m *Machine) forget() {
	for _, name := range []string{"ha.pid", qemu + ".pid", vz + ".pid"} {
		path := filepath.Join(m.o.Layout.LimaInstance(), name)
		if readPID(path) != 0 && owned(m.o.Layout, name) == 0 {
			_ = os.Remove(path) // limactl says what is wrong with it
		}
	}
}

// wait waits until the agent answers, for as long as there is something that could come to it:
// a limactl that is starting the machine, or the machine.
func (m *Machine) wait(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make(chan error, 1)
	go func() {
		if m.o.Wait == nil {
			answers <- m.waitForDriver(waiting)
		} else {
			answers <- m.o.Wait(waiting)
		}
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-answers:
			if err == nil || ctx.Err() != nil {
				return err
			}
			if m.gone() {
				return &endedError{m.startFailure()} // which is why no agent answers
			}
			return m.silent(err)
		case <-tick.C:
		}
		if !m.gone() {
			continue
		}
		cancel()
		if err := <-answers; err == nil || ctx.Err() != nil {
			return err
		}
		return &endedError{m.startFailure()}
	}
}

// gone reports whether there is nothing any more that could come to answer.
func (m *Machine) gone() bool {
	p := Processes(m.o.Layout)
	return !p.Starting && !p.Driver
}

// waitForDriver stands in for an agent where there is none.
func (m *Machine) waitForDriver(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !m.Answers(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// hostAgentLog is the log of Lima's process beside the machine.
func (m *Machine) hostAgentLog() string {
	return filepath.Join(m.o.Layout.LimaInstance(), "ha.stderr.log")
}

// logMost is how much of the end of a log is read, in bytes: what a guest does is told there, too.
const logMost = 1 << 20

// startFailure is why a start has failed: of what the host agent, QEMU and limactl say, what is
// nearest to the cause.
func (m *Machine) startFailure() error {
	own := m.o.Layout.VMLog("limactl-start")
	for _, path := range []string{m.hostAgentLog(), own} {
		text, _ := host.ReadTail(path, logMost) // none: it has said nothing
		if why := serious(string(text)); why != "" {
			return m.withHint(&failure{command: "limactl start", reason: why}, path)
		}
	}
	text, _ := host.ReadTail(own, logMost)
	return m.withHint(&failure{command: "limactl start", reason: lastFailure(string(text))}, own)
}

// serious is the reason in a log in which something says fatal, or QEMU says why it ends; what
// a host agent that is well calls an error has not ended it.
func serious(log string) (why string) {
	for _, e := range entries(log) {
		if qemuSays, ok := strings.CutPrefix(e.Message, "qemu[stderr]: "); ok && strings.HasPrefix(qemuSays, "qemu-system-") {
			why = qemuSays
		}
		if e.Level == "fatal" && !vague.MatchString(e.Message) {
			return strings.TrimSpace(ownHint.ReplaceAllString(e.Message, ""))
		}
	}
	return why
}

// silent is the error about a machine that runs and whose agent does not answer.
func (m *Machine) silent(err error) error {
	var known *hint.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("its agent has not answered for %s", patience)
	}
	return hint.With(err,
		"`linnet engine restart` starts it anew; its console says what it is at: "+filepath.Join(m.o.Layout.LimaInstance(), "serial*.log"))
}
