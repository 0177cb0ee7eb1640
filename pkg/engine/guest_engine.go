//go:build linux

package engine

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver"
)

// guestEngine serves an engine that may not be there yet: clients are answered before, and
// told why it cannot be made, where natively no client could be.
type guestEngine struct {
	agentpb.UnimplementedEngineServer

	far     *agentserver.Server
	started time.Time
	program string
	create  func() (*Engine, error)
	stopped chan struct{} // closed when a client has stopped the engine

	mu   sync.Mutex // held while it is made
	made atomic.Pointer[Engine]
}

// newGuestEngine begins to make the engine.
func newGuestEngine(ctx context.Context, g *guestServer, far *agentserver.Server) *guestEngine {
	e := &guestEngine{far: far, started: time.Now(), stopped: make(chan struct{})}
	var err error
	if e.program, err = agent.ProgramID(g.program); err != nil {
		g.log.WithError(err).Warn("a client cannot tell which agent this is")
	}
	e.create = func() (*Engine, error) {
		if err := orderDatabases(g.spec.Layout, g.spec.Snapshotter); err != nil {
			g.log.WithError(err).Warn("a kernel that panics may lose an image that is just being made")
		}
		ctx, cancel := context.WithCancel(ctx)
		made, err := New(ctx, g.spec, daemonEnv(os.Environ(), g.spec.Layout), g.log)
		if err != nil {
			cancel()
			g.log.WithError(err).Error("making the engine")
			return nil, err
		}
		context.AfterFunc(ctx, cancel) // it lives as long as ctx
		return made, nil
	}
	go func() { _, _ = e.engine() }() // the client that asks next is told
	return e
}

// engine is the engine, made now if it is not there.
func (e *guestEngine) engine() (*Engine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if made := e.made.Load(); made != nil {
		return made, nil
	}
	made, err := e.create()
	if err != nil {
		return nil, agent.ToStatus(err)
	}
	e.made.Store(made)
	go func() {
		<-made.Stopped()
		close(e.stopped)
	}()
	return made, nil
}

// detach leaves the daemons to the next agent.
func (e *guestEngine) detach() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if made := e.made.Load(); made != nil {
		made.Detach()
	}
}

func (e *guestEngine) Info(ctx context.Context, q *agentpb.InfoRequest) (*agentpb.InfoReply, error) {
	reply := &agentpb.InfoReply{Version: agent.Version, Pid: int64(os.Getpid())}
	if made := e.made.Load(); made != nil {
		var err error
		if reply, err = made.Info(ctx, q); err != nil {
			return nil, err
		}
	}
	reply.StartedUnixNano, reply.Protocol, reply.Program = e.started.UnixNano(), agent.Protocol, e.program
	reply.Commands = int32(e.far.Running()) //nolint:gosec // a count of processes
	return reply, nil
}

func (e *guestEngine) Ready(q *agentpb.ReadyRequest, stream agentpb.Engine_ReadyServer) error {
	made, err := e.engine()
	if err != nil {
		return err
	}
	return made.Ready(q, stream)
}

func (e *guestEngine) Stop(q *agentpb.StopRequest, stream agentpb.Engine_StopServer) error {
	made, err := e.engine()
	if err != nil {
		return err
	}
	return made.Stop(q, stream)
}
