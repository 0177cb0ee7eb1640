package lima

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/vm"
)

var _ interface {
	guest.Guest
	guest.Engine
} = (*Guest)(nil)

// Start makes the machine run and waits until all of its engine answers.
func (g *Guest) Start(ctx context.Context) error {
	return g.ready(ctx, guest.Containerd.Daemon(), guest.BuildKit.Daemon())
}

// Stop stops every container and the engine, and turns the machine off; ran is false when
// nothing of it ran.
func (g *Guest) Stop(ctx context.Context, timeout time.Duration) (ran bool, err error) {
	s, err := g.machine.Observe(ctx)
	if err != nil {
		return false, err
	}
	if g.Running(ctx) {
		if err := g.stopEngine(ctx, timeout); err != nil {
			return true, err
		}
	}
	if err := g.machine.Ensure(ctx, vm.Stopped); err != nil {
		return true, err
	}
	return on(s) || s.Status == vm.HostAgentOnly || s.Live, relay.Stop(ctx, g.layout.VMSocket("relay"))
}

// on reports whether the machine runs, or is about to.
func on(s vm.State) bool {
	return s.Status == vm.Running || s.Status == vm.Orphaned || s.Status == vm.Starting
}

// stopEngine has the agent stop what runs, telling of each step. An agent that does not
// answer any more is no reason to leave the machine on.
func (g *Guest) stopEngine(ctx context.Context, timeout time.Duration) error {
	c, err := g.connect(ctx)
	if err != nil {
		return nil // what runs in there is stopped with the machine
	}
	defer g.disconnect()
	stopping, cancel := context.WithTimeout(ctx, timeout+g.limits.stop)
	defer cancel()
	steps := agent.Steps{Report: g.report}
	err = c.Stop(stopping, &agentpb.StopRequest{TimeoutNano: int64(timeout)}, steps.Tell)
	steps.End(err)
	if err != nil && ctx.Err() == nil && (isUnreachable(err) || stopping.Err() != nil) {
		return nil
	}
	return err
}

// Status says what runs; it starts nothing.
func (g *Guest) Status(ctx context.Context) (guest.Status, error) {
	s := guest.Status{Backend: "lima", State: "stopped", Home: g.layout.Home, Disk: map[string]int64{}, Daemons: []guest.Daemon{}}
	seen, err := g.machine.Observe(ctx)
	if err != nil {
		return s, err
	}
	s.Disk = g.diskUse()
	sharing := g.machine.Sharing()
	for _, m := range sharing.Mounts {
		s.Shares = append(s.Shares, m.String())
	}
	s.Hidden, s.Boundary = sharing.Hidden, sharing.Boundary()
	if !on(seen) {
		return s, nil
	}
	s.State = "starting"
	channel, err := g.relayStatus(ctx)
	if err != nil || !channel.Connected {
		return s, nil // no relay answers yet
	}
	g.warnRules(ctx)
	for _, p := range channel.Ports {
		s.Ports = append(s.Ports, guest.Port(p))
	}
	c, err := g.connect(ctx)
	if err != nil {
		return s, err
	}
	asking, cancel := context.WithTimeout(ctx, g.limits.info)
	defer cancel()
	info, err := c.Info(asking)
	if err != nil {
		if isUnreachable(err) || asking.Err() != nil && ctx.Err() == nil {
			return s, nil
		}
		return s, err
	}
	agent.Describe(&s, info, g.layout.VMSocket("agent"))
	return s, nil
}

// diskUse is what the machine takes up on this host, in bytes. What is on the data disk is in
// use in the guest.
func (g *Guest) diskUse() map[string]int64 {
	l := g.layout
	use := map[string]int64{"machine": host.Used(l.LimaInstance()), "data": host.Used(l.LimaDisk())}
	use["total"] = use["machine"] + use["data"]
	if free, ok := host.Free(l.Home); ok {
		use["free"] = free
	}
	return use
}

// Logs lists the engine's logs, which are in the machine, and those of the machine itself.
func (g *Guest) Logs() []guest.Log {
	l := g.layout
	serial := "serial.log"
	if shape, ok := ReadShape(l); ok && shape.Type == vz {
		serial = "serialv.log" // the only console that it has
	}
	var logs []guest.Log
	for _, name := range guest.EngineLogs() {
		logs = append(logs, guest.Log{Name: name, Path: GuestLayout().Log(name), InGuest: true})
	}
	return append(logs,
		guest.Log{Name: "relay", Path: l.VMLog("relay")},
		guest.Log{Name: "limactl", Path: l.VMLog("limactl-start")},
		guest.Log{Name: "hostagent", Path: filepath.Join(l.LimaInstance(), "ha.stderr.log")},
		guest.Log{Name: "serial", Path: filepath.Join(l.LimaInstance(), serial)},
	)
}

// Reset removes the machine and its data disk.
func (g *Guest) Reset(ctx context.Context) error {
	l := g.layout
	if err := host.CheckUnmounted("removing what the engine keeps", l.BuildTokens(), l.Compose()); err != nil {
		return err
	}
	err := errors.Join(g.Remove(ctx, true), host.ForgetBuilds(g.layout))
	host.ForgetHome(g.layout)
	return err
}

// FetchImage brings the image here that the machine would be made from at its next start.
func (g *Guest) FetchImage(ctx context.Context) error { return g.machine.Ensure(ctx, vm.Fetched) }

// Initialise makes the machine without starting it.
func (g *Guest) Initialise(ctx context.Context) error { return g.machine.Ensure(ctx, vm.Initialised) }

// Remove stops and removes the machine; with data, its data disk too.
func (g *Guest) Remove(ctx context.Context, data bool) error {
	goal, dirs := vm.Removed, []string{g.layout.LimaInstance()}
	if data {
		goal, dirs = vm.RemovedWithData, []string{g.layout.LimaHome(), g.layout.VM()}
	}
	// Before anything is done: each step looks again at what it removes.
	if err := host.CheckUnmounted("removing the virtual machine", dirs...); err != nil {
		return err
	}
	if _, err := g.Stop(ctx, 0); err != nil && ctx.Err() != nil {
		return err
	}
	return g.machine.Ensure(ctx, goal)
}

// Plan is what would be done to reach a goal.
func (g *Guest) Plan(ctx context.Context, goal vm.Goal) (vm.Plan, error) {
	return g.machine.Plan(ctx, goal)
}

// upgradeAgent gives the agent of a machine that has just started the program that belongs to this
// client, if it has another: an image may be older than the client.
func (g *Guest) upgradeAgent(ctx context.Context, c *agent.Client) error {
	program := g.layout.Agent(g.program)
	mine, err := agent.ProgramID(program)
	if errors.Is(err, os.ErrNotExist) {
		return nil // none here to give
	}
	if err != nil {
		return err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	if info.GetProgram() == mine {
		return nil
	}
	step := g.report.Step("updating the agent in the virtual machine")
	text, err := os.ReadFile(program)
	if err == nil {
		sum := sha256.Sum256(text)
		err = c.Replace(ctx, bytes.NewReader(text), hex.EncodeToString(sum[:]), false)
	}
	if errors.Is(err, agent.ErrBusy) && info.GetProtocol() == agent.Protocol {
		step.Note("at the next start: commands run already") // of clients that waited for this one
		err = nil
	}
	if err != nil {
		step.Fail(err)
		return fmt.Errorf("updating the agent in the virtual machine: %w", err)
	}
	step.Done()
	return nil
}

// Shell is the command line of a shell in the machine, or of a command, as the user there: that
// has this user's name, unless Lima has found it to be no name for a user of Linux.
func (g *Guest) Shell(argv []string) []string {
	if len(argv) == 0 {
		argv = []string{"bash", "-l"}
	}
	user := g.machine.o.Facts.User
	if t, err := ReadTarget(g.layout); err == nil {
		user = t.User
	}
	return append([]string{"sudo", "-n", "-H", "-u", user, "--"}, argv...)
}

// Sharing is what the machine reaches of this host's files.
func (g *Guest) Sharing() Sharing { return g.machine.Sharing() }

// guestRun is the guest's directory in memory, as its image's boot script makes it.
const guestRun = host.DefaultRuntime

// AgentSocket is where the agent listens, in the machine.
const AgentSocket = guestRun + "/agent.sock"

// GuestLayout is where everything of the engine is, in the machine: the data disk is mounted on
// its home.
func GuestLayout() host.Layout {
	return host.Layout{Home: "/var/lib/linnet", Libexec: "/usr/libexec/linnet"}
}
