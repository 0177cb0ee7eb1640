package lima

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Guest is the engine in the virtual machine. It implements guest.Guest and guest.Engine.
//
// It speaks to the agent over the relay's socket alone, so a command of a machine that runs
// costs no process and no limactl; the machine is asked only when no agent answers there.
type Guest struct {
	machine *Machine
	layout  host.Layout
	program string
	environ []string
	report  *report.Reporter
	limits  limits

	// warned says that warnRules has told.
	warned atomic.Bool

	mu     sync.Mutex
	client *agent.Client
}

// limits are how long an agent that does not answer is waited for.
type limits struct {
	// ready is until the engine can be used, info until it says how it is, and stop until it has
	// ended, beyond what containers are given.
	ready, info, stop time.Duration
}

// NewGuest makes a Guest on a machine, whose way back to it (Launched, Answers, Wait) it sets.
// program is the path of the running program: the relay is the same one. Nothing is started.
func NewGuest(o Options, program string) *Guest {
	g := &Guest{layout: o.Layout, program: program, environ: o.Environ, report: o.Report}
	g.limits = limits{ready: patience, info: 5 * time.Second, stop: graceful}
	o.Program = program
	o.Launched, o.Answers, o.Wait = g.startRelay, g.Running, g.wait
	g.machine = New(o)
	return g
}

// mostTries bounds how often the machine may go away under our hands before that is the
// answer.
const mostTries = 5

// Ready starts the machine if it does not run, and waits until containers can be run in it.
// When they can, it costs one question over a connection that is already open.
func (g *Guest) Ready(ctx context.Context) error {
	return g.ready(ctx, guest.Containerd.Daemon())
}

// ready starts the machine if it does not run, and waits until the daemons of those names answer.
func (g *Guest) ready(ctx context.Context, names ...string) error {
	for tries := 1; ; tries++ {
		err := g.await(ctx, names)
		if err == nil {
			g.warnRules(ctx)
		}
		if errors.Is(err, agent.ErrProtocol) {
			return &hint.Error{Err: fmt.Errorf("the virtual machine runs since before this linnet was installed: %w", err), Fix: "linnet vm restart (it stops the containers in there)"}
		}
		if err == nil || ctx.Err() != nil || !isUnreachable(err) || tries == mostTries {
			return err
		}
		g.disconnect()
		if err := g.reach(ctx, err); err != nil {
			return err
		}
	}
}

// reach does what is needed so that an agent answers. Of a machine that runs, the relay may
// be all that is missing.
func (g *Guest) reach(ctx context.Context, why error) error {
	if errors.Is(why, agent.ErrNotRunning) && !host.Listens(g.layout.VMSocket("agent")) && Processes(g.layout).Driver {
		return g.startRelay(ctx)
	}
	return g.machine.Ensure(ctx, vm.Started)
}

// isUnreachable reports whether an error means that no agent answers, and not that something is wrong.
func isUnreachable(err error) bool {
	return errors.Is(err, agent.ErrNotRunning) || errors.Is(err, agent.ErrStopping) || errors.Is(err, agent.ErrLost)
}

// await asks the agent to be ready and tells what it waits for.
func (g *Guest) await(ctx context.Context, names []string) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	steps := agent.Steps{Report: g.report}
	defer tellWaiting(g.report, "waiting for the virtual machine")() // another command starts it, and shows more
	err = g.unlessStuck(ctx, func(ctx context.Context) error { return c.Ready(ctx, steps.Tell, names...) })
	steps.End(err)
	return err
}

// unlessStuck asks the agent something that may take its time. It does not wait for an agent that
// the relay will never reach unless the user does something, nor for one that the guest does not
// come to start, nor for ever.
func (g *Guest) unlessStuck(ctx context.Context, ask func(context.Context) error) error {
	asking, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		limit := time.NewTimer(g.limits.ready)
		defer limit.Stop()
		tick := time.NewTicker(silence)
		defer tick.Stop()
		for {
			select {
			case <-asking.Done():
				return
			case <-limit.C:
				end(g.machine.silent(fmt.Errorf("its agent has not answered for %s", g.limits.ready)))
			case <-tick.C:
				if why := consoleFailure(g.layout); why != "" {
					end(&hint.Error{Err: fmt.Errorf("setting up the virtual machine: %s", why), Fix: "`linnet vm logs serial` says more"})
				}
				if s, err := g.relayStatus(asking); err == nil && s.Hint != "" {
					end(&hint.Error{Err: fmt.Errorf("reaching the virtual machine: %s", s.Error), Fix: s.Hint})
				}
			}
		}
	}()
	err := ask(asking)
	if err != nil && ctx.Err() == nil && asking.Err() != nil {
		return context.Cause(asking)
	}
	return err
}

// warnRules tells, once, that the relay does not go by the settings of today: it has those of its start.
func (g *Guest) warnRules(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	rules, err := relay.QueryRules(ctx, g.layout.VMSocket("relay"))
	if err != nil || rules.Max == 0 || g.machine.o.Warn == nil {
		return
	}
	changed := ""
	switch {
	case !rules.Same(g.machine.o.Ports):
		changed = "vm.ports"
	case rules.SSHAgent != (g.sshAgent() != ""):
		changed = "vm.forwardAgent, or SSH_AUTH_SOCK with it,"
	case rules.Docker != g.machine.o.Docker:
		changed = "docker.socket"
	}
	if changed != "" && !g.warned.Swap(true) {
		g.machine.o.Warn(changed + " has changed since the relay was started: linnet vm restart")
	}
}

func (g *Guest) relayStatus(ctx context.Context) (relay.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return relay.Query(ctx, g.layout.VMSocket("relay"))
}

// connect returns the client of the agent; ErrNotRunning when no relay listens.
func (g *Guest) connect(ctx context.Context) (*agent.Client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil {
		return g.client, nil
	}
	c, err := agent.Dial(ctx, g.layout.VMSocket("agent"))
	if err != nil {
		return nil, err
	}
	g.client = c
	return c, nil
}

func (g *Guest) disconnect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.client != nil {
		g.client.Close()
		g.client = nil
	}
}

// Running reports whether the machine's agent can be reached now; it starts nothing.
func (g *Guest) Running(ctx context.Context) bool {
	s, err := g.relayStatus(ctx)
	return err == nil && s.Connected
}

// startRelay starts the relay, unless one runs, and waits until it listens.
func (g *Guest) startRelay(ctx context.Context) error {
	for tries := 1; ; tries++ {
		if host.Listens(g.layout.VMSocket("agent")) {
			return nil
		}
		ended, err := g.launchRelay()
		if err != nil {
			return err
		}
		if err := g.listens(ctx, ended); err == nil || ctx.Err() != nil || tries == mostTries {
			return err
		}
		// Another one had the lock and was about to end.
	}
}

func (g *Guest) launchRelay() (ended <-chan error, err error) {
	l := g.layout
	if err := host.MakeDir(filepath.Dir(l.VMLog("relay"))); err != nil {
		return nil, fmt.Errorf("starting the relay: %w", err)
	}
	started, err := host.Daemon{
		Argv: g.relayArgv(), Dir: "/", Log: l.VMLog("relay"),
		Env: append(host.Inherited(g.environ), host.EnvHome+"="+l.Home, host.EnvLibexec+"="+l.Libexec),
	}.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the relay: %w", err)
	}
	end := make(chan error, 1)
	go func() { end <- started.Wait() }()
	return end, nil
}

func (g *Guest) relayArgv() []string {
	argv := append([]string{g.program, "vm", "relay"}, g.machine.o.Ports.Words()...)
	if agent := g.sshAgent(); agent != "" {
		argv = append(argv, "--ssh-agent="+agent)
	}
	if g.machine.o.Docker {
		argv = append(argv, "--docker")
	}
	return argv
}

// listens waits until a relay listens, or the one that was started has ended.
func (g *Guest) listens(ctx context.Context, ended <-chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !host.Listens(g.layout.VMSocket("agent")) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			if host.Listens(g.layout.VMSocket("agent")) {
				return nil
			}
			return &hint.Error{Err: errors.Join(errors.New("starting the relay: it ended at once"), err), Fix: "its log says why: " + g.layout.VMLog("relay")}
		case <-tick.C:
		}
	}
	return nil
}

// wait waits until the agent of a machine that is being started answers, gives it the
// program that belongs to this client if it has another, and waits for the engine.
//
// The relay that is found may be that of the machine before, which is just going away.
func (g *Guest) wait(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for tries := 1; ; tries++ {
		err := g.attachRelay(ctx)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || !isUnreachable(err) || tries == mostTries {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *Guest) attachRelay(ctx context.Context) error {
	g.disconnect()
	if err := g.startRelay(ctx); err != nil {
		return err
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	steps := agent.Steps{Report: g.report}
	err = g.unlessStuck(ctx, func(ctx context.Context) error {
		if err := g.upgradeAgent(ctx, c); err != nil {
			return err
		}
		return c.Ready(ctx, steps.Tell, guest.Containerd.Daemon())
	})
	steps.End(err)
	return err
}

// Run executes p in the machine.
func (g *Guest) Run(ctx context.Context, p guest.Process) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	return c.Run(ctx, p)
}

// Stage makes a private directory in the machine's memory.
func (g *Guest) Stage(ctx context.Context) (guest.Stage, error) {
	c, err := g.connect(ctx)
	if err != nil {
		return nil, err
	}
	return c.Stage(ctx)
}

// Capabilities say that it is a virtual machine.
func (g *Guest) Capabilities() guest.Capabilities {
	return guest.Capabilities{Machine: true, Settle: g.settle}
}

// settle runs a command that does nothing: the agent writes to the disk what has changed, as behind every other.
func (g *Guest) settle(ctx context.Context) error {
	return g.Run(ctx, guest.Process{Argv: []string{"true"}})
}

// Dial connects to a daemon of the engine.
func (g *Guest) Dial(ctx context.Context, s guest.Service) (net.Conn, error) {
	c, err := g.connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := c.Dial(ctx, string(s))
	if err != nil && s.Daemon() != "" {
		// It may be that it is not there yet.
		if err := g.ready(ctx, s.Daemon()); err != nil {
			return nil, err
		}
		if c, err = g.connect(ctx); err != nil {
			return nil, err
		}
		conn, err = c.Dial(ctx, string(s))
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", s, err)
	}
	return conn, nil
}
