package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// makeRun makes the directories that the lock, the sockets and the logs need.
func (n *Native) makeRun() error {
	l := n.o.Layout
	for _, dir := range []string{l.Run(), filepath.Dir(l.Spec()), filepath.Dir(l.Log("agent"))} {
		if err := host.MakeDir(dir); err != nil {
			return host.HomeError(l.Home, err)
		}
	}
	if err := l.KeepVersion(); err != nil {
		return host.HomeError(l.Home, err)
	}
	return nil
}

// lockStart makes those directories and takes the lock of the one client that starts or removes
// an engine. A reset may remove the directories between the two.
func (n *Native) lockStart(ctx context.Context) (*os.File, error) {
	for {
		if err := n.makeRun(); err != nil {
			return nil, err
		}
		lock, err := host.Lock(ctx, n.o.Layout.StartLock())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && ctx.Err() == nil {
			return nil, host.HomeError(n.o.Layout.Home, err)
		}
		return lock, err
	}
}

// start starts the agent, in a session of its own, and waits until it listens. The caller
// holds the start lock.
func (n *Native) start(ctx context.Context) (err error) {
	l := n.o.Layout
	spec, err := n.o.Spec()
	if err != nil {
		return err
	}
	step := n.o.Report.Step("starting the engine")
	defer func() {
		if err != nil {
			step.Fail(err)
			return
		}
		step.Done()
	}()
	if err := spec.Write(); err != nil {
		return host.HomeError(l.Home, err)
	}
	n.restoreEmulation(ctx)
	told, tell, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	defer told.Close()
	daemon := host.Daemon{
		Argv: []string{l.Agent(n.o.Program), "start", "--spec", l.Spec()},
		Env:  host.Inherited(n.o.Environ), Dir: "/", Log: l.Log("agent"),
		ExtraFiles: []*os.File{tell},
	}
	started, err := daemon.Start()
	tell.Close()
	if err != nil {
		return &hint.Error{Err: err, Fix: startHint(err, l)}
	}
	if err := started.Wait(); err != nil {
		return &hint.Error{Err: fmt.Errorf("starting the agent: %w", err), Fix: "its log says more: " + l.Log("agent")}
	}
	stop := context.AfterFunc(ctx, func() { told.Close() })
	defer stop()
	text, err := io.ReadAll(told)
	if ctx.Err() != nil {
		return ctx.Err() // the agent goes on by itself; the next command finds it
	}
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	return startAnswer(string(text), l)
}

// startAnswer turns what the agent said of its start into an error, nil when all is well.
func startAnswer(text string, l host.Layout) error {
	if text == "ok" {
		return nil
	}
	message, fix := hint.Cut(text)
	if message == "" {
		message, fix = "starting the agent: it ended before it said anything", "its log says more: "+l.Log("agent")
	}
	err := errors.New(message)
	if fix == "" {
		fix = startHint(err, l)
	}
	return &hint.Error{Err: err, Fix: fix}
}

// startHint is what to do about an agent that could not be started.
func startHint(err error, l host.Layout) string {
	if strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		return "free some space, or set LINNET_HOME to a directory on another disk"
	}
	return "its log says more: " + l.Log("agent")
}
