//go:build linux

// Package engine runs the engine: it supervises containerd and buildkitd, keeps the
// engine's networks apart from everybody else's, and takes all of it down again.
//
// It runs in the agent, never in the client: it may import heavy things, and must not know
// what any linnet command means.
package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Engine is a running engine. It serves agentpb.EngineServer.
type Engine struct {
	agentpb.UnimplementedEngineServer

	spec    agent.Spec
	env     []string // the daemons' whole environment
	log     logrus.FieldLogger
	started time.Time
	nets    networks
	bridge  bridge
	daemons []*daemon
	docker  *docker

	cancel   context.CancelFunc // ends the supervision
	wg       sync.WaitGroup
	stopping context.Context //nolint:containedctx // ends when Stop begins: no client may wait for the daemons any more
	begin    context.CancelFunc
	stopped  chan struct{} // closed when Stop has ended everything
	once     sync.Once
}

// New prepares the engine's directories and files and adopts or starts its daemons, without
// waiting until they answer. env is the daemons' whole environment.
func New(ctx context.Context, spec agent.Spec, env []string, log logrus.FieldLogger) (*Engine, error) {
	l := spec.Layout
	if err := ensureVolatile(l); err != nil {
		return nil, err
	}
	for _, dir := range []string{l.ContainerdRoot(), l.ContainerdState(), l.ShimSockets(), l.BuildkitRoot(), l.NerdctlRoot(), l.NetConf(), l.Leases(), l.Stages()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the engine's directories: %w", err)
		}
	}
	if err := l.CheckDirs(); err != nil {
		return nil, err
	}
	e := &Engine{spec: spec, env: env, log: log, started: time.Now(), stopped: make(chan struct{})}
	e.nets = networks{layout: l, guestSocket: spec.GuestSocket, log: log}
	var err error
	if e.bridge, err = e.nets.ensureDefault(spec.Subnet); err != nil {
		return nil, err
	}
	gateway := e.nets.hostGateway(ctx, e.bridge)
	if err := writeConfig(spec, gateway); err != nil {
		return nil, err
	}
	e.stopping, e.begin = context.WithCancel(context.WithoutCancel(ctx))
	ctx, e.cancel = context.WithCancel(ctx)
	if err := e.endDraining(); err != nil {
		return nil, err
	}
	follow, err := e.nets.watch(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.nets.setAsideTorn(); err != nil {
		return nil, err
	}
	if err := e.nets.adopt(ctx); err != nil {
		return nil, err
	}
	e.daemons = newDaemons(l, env, log)
	for _, d := range e.daemons {
		if d.name == guest.Docker.Daemon() {
			e.docker = newDocker(spec, e.nets, d, gateway, log)
		}
		if d.needs != nil && slices.Contains(d.needs.users, d) && !runsDaemon(d.needs.argv) {
			if err := d.end(time.Second); err != nil {
				return nil, err
			}
		}
	}
	for _, d := range e.daemons {
		e.wg.Go(func() { d.run(ctx) })
	}
	e.wg.Go(follow)
	e.wg.Go(func() { e.docker.run(ctx) })
	e.wg.Go(func() { e.tidy(ctx) })
	e.wg.Go(func() { e.keepHouse(ctx, houseInterval) })
	e.wg.Go(func() { e.keepHealth(ctx) })
	return e, nil
}

// tidy removes, once containerd knows which containers run, what those left that were killed while no agent lived.
func (e *Engine) tidy(ctx context.Context) {
	l := e.spec.Layout
	if waitSocket(ctx, socketOf(l, guest.Containerd)) != nil {
		return
	}
	if err := removeUnowned(ctx, l, e.env, func() []string { return begunContainers(l) }, false); err != nil && ctx.Err() == nil {
		e.log.WithError(err).Warn("tidying up")
	}
}

// endDraining ends the containerd of a stop that was cut short: it has the database that
// the next one waits for.
func (e *Engine) endDraining() error {
	if err := endDaemon(drainingArgv(e.spec.Layout), 10*time.Second); err != nil {
		return fmt.Errorf("ending the containerd of an interrupted stop: %w", err)
	}
	return nil
}

// houseInterval is how often logs are looked at.
const houseInterval = 30 * time.Second

// keepHouse rotates logs and sweeps what dead clients left, now and at every interval,
// until ctx ends.
func (e *Engine) keepHouse(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, name := range guest.EngineLogs() {
			if err := rotate(e.spec.Layout.Log(name), e.spec.LogSize, e.spec.LogFiles); err != nil {
				e.log.WithError(err).Warn("rotating logs")
			}
		}
		if err := sweepStages(e.spec.Layout.Stages()); err != nil {
			e.log.WithError(err).Warn("sweeping staged directories")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Detach ends the supervision and leaves the daemons running, for the next agent to adopt.
func (e *Engine) Detach() {
	e.cancel()
	e.wg.Wait()
}

// Stopped is closed when a client has stopped the engine.
func (e *Engine) Stopped() <-chan struct{} { return e.stopped }

// Info answers at once, in every state.
func (e *Engine) Info(context.Context, *agentpb.InfoRequest) (*agentpb.InfoReply, error) {
	reply := &agentpb.InfoReply{
		Version: agent.Version, Pid: int64(os.Getpid()), StartedUnixNano: e.started.UnixNano(),
		Bridge: e.bridge.Bridge, Subnet: e.bridge.Subnet,
	}
	for _, d := range e.daemons {
		d.mu.Lock()
		if d.state == guest.Asleep && !e.spec.DockerSocket {
			d.mu.Unlock()
			continue // nothing can wake it
		}
		info := &agentpb.Daemon{
			Name: d.name, State: d.state, Pid: int64(d.pid), Socket: d.socket,
			Restarts: int32(d.restarts), Adopted: d.adopted, //nolint:gosec // a count of restarts
		}
		if !d.started.IsZero() {
			info.StartedUnixNano = d.started.UnixNano()
		}
		if d.lastErr != nil {
			info.LastError = d.lastErr.Error()
		}
		d.mu.Unlock()
		reply.Daemons = append(reply.Daemons, info)
	}
	return reply, nil
}

// Ready tells of each daemon that it waits for.
func (e *Engine) Ready(req *agentpb.ReadyRequest, stream agentpb.Engine_ReadyServer) error {
	if err := stream.SetHeader(agent.Revision()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(e.stopping, cancel)()
	for _, d := range e.daemons {
		if e.stopping.Err() != nil {
			return agent.ToStatus(agent.ErrStopping)
		}
		if asked := req.GetDaemons(); len(asked) > 0 && !slices.Contains(asked, d.name) || len(asked) == 0 && d.onDemand {
			continue
		}
		if host.Listens(d.socket) {
			continue
		}
		if err := stream.Send(&agentpb.Event{Kind: agentpb.Event_KIND_STEP, Text: "starting " + d.name}); err != nil {
			return err
		}
		if err := d.ready(ctx); err != nil {
			if e.stopping.Err() != nil {
				err = agent.ErrStopping
			}
			return agent.ToStatus(err)
		}
		if err := stream.Send(&agentpb.Event{Kind: agentpb.Event_KIND_DONE, Text: "starting " + d.name}); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends containers, then daemons. It goes on when the client that asked goes away: a
// half-stopped engine serves no client.
func (e *Engine) Stop(req *agentpb.StopRequest, stream agentpb.Engine_StopServer) error {
	var err error
	ran := false
	e.once.Do(func() {
		ran = true
		e.begin()
		timeout := time.Duration(req.GetTimeoutNano())
		if timeout <= 0 {
			timeout = e.spec.StopTimeout
		}
		err = e.stop(context.WithoutCancel(stream.Context()), timeout, func(kind agentpb.Event_Kind, text string) {
			_ = stream.Send(&agentpb.Event{Kind: kind, Text: text}) // the client may be gone
		})
		close(e.stopped)
	})
	if !ran {
		<-e.stopped
	}
	return agent.ToStatus(err)
}

func (e *Engine) stop(ctx context.Context, timeout time.Duration, tell func(agentpb.Event_Kind, string)) error {
	var errs []error
	step := func(text string, do func() error) {
		tell(agentpb.Event_KIND_STEP, text)
		if err := do(); err != nil {
			e.log.WithError(err).Error(text)
			errs = append(errs, err)
			return
		}
		tell(agentpb.Event_KIND_DONE, text)
	}
	e.Detach()
	for _, d := range slices.Backward(e.daemons) {
		if d.name == guest.Containerd.Daemon() {
			step("stopping containers", func() error {
				var mu sync.Mutex
				return e.drain(ctx, d, timeout, func(text string) {
					mu.Lock()
					defer mu.Unlock()
					tell(agentpb.Event_KIND_NOTE, text)
				})
			})
		}
		switch {
		case !d.onDemand:
			step("stopping "+d.name, func() error { return d.stop(ctx, 20*time.Second) })
		case runsDaemon(d.argv):
			step("stopping "+d.name, func() error { return e.docker.stop(ctx, timeout) })
		}
	}
	step("ending what is left", func() error {
		l, env := e.spec.Layout, e.env
		return errors.Join(endLeftovers(ctx, l, env), sweepDocker(ctx, l, env),
			removeUnowned(ctx, l, env, func() []string { return livingContainers(l) }, false), dropVolatile(l))
	})
	return errors.Join(errs...)
}

// drain replaces containerd by one without the restart monitor, which would start again
// what is being stopped, and stops all containers.
func (e *Engine) drain(ctx context.Context, c *daemon, timeout time.Duration, note func(string)) error {
	l := e.spec.Layout
	if err := c.stop(ctx, 20*time.Second); err != nil {
		return err
	}
	quiet := newDaemon(c.name, drainingArgv(l), c.env, l, e.log)
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { quiet.run(running) })
	defer func() {
		cancel()
		wg.Wait()
		if err := quiet.stop(ctx, 20*time.Second); err != nil {
			e.log.WithError(err).Error("stopping the draining containerd")
		}
	}()
	waiting, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if err := quiet.ready(waiting); err != nil {
		return err
	}
	return drain(ctx, socketOf(l, guest.Containerd), timeout, func() map[string]bool { return shimmed(l) }, note)
}
