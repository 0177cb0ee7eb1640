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
		if err := m.o.Launched(ctx); err != nil {
			return err
		}
	}
	err = m.wait(ctx)
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
	if err := gone(os.Remove(log)); err != nil {
		return nil, homeError(l.Home, err)
	}
	lock, err := host.TryLock(l.VMLock("limactl"))
	if errors.Is(err, host.ErrLocked) {
		// Something of an earlier machine still has it: that is not a start any more.
		if err := gone(os.Remove(l.VMLock("limactl"))); err != nil {
			return nil, homeError(l.Home, err)
		}
		lock, err = host.TryLock(l.VMLock("limactl"))
	}
	if err != nil {
		return nil, homeError(l.Home, err)
	}
	defer lock.Close()
	argv := append(append([]string{l.Bin("limactl")}, global...), "start", host.Instance)
	started, err := host.Daemon{
		Argv: argv, Env: m.env(want.Accelerator), Dir: "/", Log: log, ExtraFiles: []*os.File{lock},
	}.Start()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(lock.Name(), []byte(strconv.Itoa(started.PID)+"\n"), 0o600); err != nil {
		return nil, homeError(l.Home, err)
	}
	return started, nil
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
			return m.silent(err)
		case <-tick.C:
		}
		if p := Processes(m.o.Layout); p.Starting || p.Driver {
			continue
		}
		cancel()
		if err := <-answers; err == nil || ctx.Err() != nil {
			return err
		}
		return &endedError{m.told(m.startFailure(), m.o.Layout.VMLog("limactl-start"))}
	}
}

// waitForDriver stands in for an agent where nobody has one.
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

// startFailure is why a start has failed: what limactl said, and what the host agent did when
// that is more.
func (m *Machine) startFailure() error {
	l := m.o.Layout
	for _, path := range []string{filepath.Join(l.LimaInstance(), "ha.stderr.log"), l.VMLog("limactl-start")} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if why := serious(string(text)); why != "" {
			return &failure{command: "limactl start", reason: why}
		}
	}
	text, _ := os.ReadFile(l.VMLog("limactl-start")) // none: it has said nothing
	return &failure{command: "limactl start", reason: reason(string(text))}
}

// serious is the reason in a log in which something says fatal; what a host agent that is
// well calls an error has not ended it.
func serious(log string) string {
	for _, e := range entries(log) {
		if e.Level == "fatal" && !vague.MatchString(e.Message) {
			return strings.TrimSpace(hint.ReplaceAllString(e.Message, ""))
		}
	}
	return ""
}

// silent is the error about a machine that runs and whose agent does not answer.
func (m *Machine) silent(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("its agent has not answered for %s", patience)
	}
	return &host.HintError{
		Err: err,
		Fix: "`linnet engine restart` starts it anew; its console says what it is at: " + filepath.Join(m.o.Layout.LimaInstance(), "serial*.log"),
	}
}
