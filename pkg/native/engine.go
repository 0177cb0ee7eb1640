package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

var _ interface {
	guest.Guest
	guest.Engine
} = (*Native)(nil)

// Start makes the engine run and waits until all of it answers.
func (n *Native) Start(ctx context.Context) error {
	return n.ready(ctx, guest.Containerd.Daemon(), guest.BuildKit.Daemon())
}

// Stop stops containers and daemons; ran is false when no engine ran.
func (n *Native) Stop(ctx context.Context, timeout time.Duration) (ran bool, err error) {
	for tries := 1; ; tries++ {
		stopped, err := n.stop(ctx, timeout)
		ran = ran || stopped
		if !errors.Is(err, agent.ErrStopping) || tries == mostTries {
			return ran, err
		}
		// Another command is stopping it, or its agent died meanwhile: see what is left.
		ran = true
	}
}

func (n *Native) stop(ctx context.Context, timeout time.Duration) (ran bool, err error) {
	c, err := n.running(ctx)
	if errors.Is(err, agent.ErrNotRunning) {
		if !n.strays() {
			return false, nil
		}
		// The agent died and left its daemons: a new one adopts them, to stop them well.
		c, err = n.Connect(ctx)
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	steps := agent.Steps{Report: n.o.Report}
	err = c.Stop(ctx, &agentpb.StopRequest{TimeoutNano: int64(timeout)}, steps.Tell)
	steps.End(err)
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	// However it went, the agent ends.
	return true, errors.Join(err, n.waitAgentGone(ctx))
}

// strays reports whether daemons or containers run without an agent. A container that runs has
// a bundle, and a stopped engine has none.
func (n *Native) strays() bool {
	l := n.o.Layout
	bundles, _ := filepath.Glob(filepath.Join(l.ContainerdState(), "io.containerd.runtime.v2.task", "*", "*")) // the pattern is fine
	return len(bundles) > 0 || slices.ContainsFunc(guest.Services(), func(s guest.Service) bool { return host.Listens(l.Socket(s.Daemon())) })
}

// Status says what runs; it starts nothing.
func (n *Native) Status(ctx context.Context) (guest.Status, error) {
	l := n.o.Layout
	s := guest.Status{Backend: "native", State: "stopped", Home: l.Home, Disk: diskUse(l), Daemons: []guest.Daemon{}}
	c, err := n.running(ctx)
	if errors.Is(err, agent.ErrNotRunning) {
		if n.strays() {
			s.State = "degraded"
		}
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer c.Close()
	info, err := c.Info(ctx)
	if errors.Is(err, agent.ErrStopping) {
		return s, nil // it ended while it was asked
	}
	if err != nil {
		return s, err
	}
	agent.Describe(&s, info, l.Socket("agent"))
	return s, nil
}

// Logs lists the logs of the engine's processes.
func (n *Native) Logs() []guest.Log {
	var logs []guest.Log
	for _, name := range guest.EngineLogs() {
		logs = append(logs, guest.Log{Name: name, Path: n.o.Layout.Log(name)})
	}
	return logs
}

// Reset stops the engine and removes what it keeps. The settings file stays.
func (n *Native) Reset(ctx context.Context) error {
	l := n.o.Layout
	if err := errors.Join(l.CheckDirs(), l.CheckPrograms(n.o.Program)); err != nil {
		return err
	}
	// Before anything is stopped or written: what a user has mounted is not removed, nor what is beside it.
	if err := n.agent(ctx, "mounts", "--home", l.Home); err != nil {
		return err
	}
	lock, err := n.lockStopped(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	spec, err := n.o.Spec()
	if err != nil {
		return err
	}
	if err := spec.Write(); err != nil {
		return host.HomeError(l.Home, err)
	}
	if err := n.unregister(); err != nil {
		return err
	}
	step := n.o.Report.Step("removing the engine's data")
	if err := n.agent(ctx, "clean", "--spec", l.Spec()); err != nil {
		step.Fail(err)
		return err
	}
	step.Done()
	return nil
}

// agent has a new agent look at what the engine keeps, or remove it, and waits for its answer.
func (n *Native) agent(ctx context.Context, args ...string) error {
	var said bytes.Buffer
	code, err := host.Run(ctx, host.Command{
		Argv:   append([]string{n.o.Layout.Agent(n.o.Program)}, args...),
		Env:    host.Inherited(n.o.Environ),
		Stdout: &said, Stderr: os.Stderr,
	})
	if err == nil && code != 0 {
		err = agentAnswer(said.String(), code)
	}
	return err
}

// agentAnswer is the error that the agent gave.
func agentAnswer(said string, code int) error {
	message, fix := hint.Cut(said)
	if message == "" {
		return fmt.Errorf("removing the engine's data: the agent ended with code %d", code)
	}
	if fix == "" {
		return errors.New(message)
	}
	return hint.New(message, fix)
}

// lockStopped stops the engine and takes the lock without which none is started.
func (n *Native) lockStopped(ctx context.Context) (*os.File, error) {
	for {
		if _, err := n.Stop(ctx, 0); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			n.o.Report.Step("stopping the engine").Fail(err) // a broken engine is what reset is for
		}
		lock, err := n.lockStart(ctx)
		if err != nil {
			return nil, err
		}
		c, err := n.running(ctx)
		if err != nil {
			return lock, nil //nolint:nilerr // none runs: that is what was wanted
		}
		c.Close() // started by another command in between
		lock.Close()
	}
}

// diskUse adds up what the engine keeps, in bytes. Directories that are not there are empty.
func diskUse(l host.Layout) map[string]int64 {
	use := map[string]int64{
		"images":     host.Used(l.ContainerdRoot()),
		"buildCache": host.Used(l.BuildkitRoot()),
		"volumes":    host.Used(l.NerdctlRoot()),
	}
	use["total"] = use["images"] + use["buildCache"] + use["volumes"]
	if free, ok := host.Free(l.Home); ok {
		use["free"] = free
	}
	return use
}
