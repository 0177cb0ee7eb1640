// Package agentserver is the agent's half of the crossing: it runs commands for clients that are
// elsewhere, holds their files in memory, asks them for credentials, connects them to the
// engine's services, and replaces the agent.
//
// It must not know what a command means, nor how the engine's daemons are run: package
// engine does that, and says here where they listen.
package agentserver

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// Options are what a Server needs.
type Options struct {
	// Env is the environment of commands, Dir their working directory, unless they say
	// otherwise.
	Env []string
	Dir string
	// Programs are those that a command may name without a path, whatever its PATH: the
	// pinned nerdctl.
	Programs map[string]string
	// Services are the unix sockets that clients may be connected to, by name.
	Services map[string]string
	// Stages is a directory in memory. What is in there when the Server is made is removed: it
	// is of clients of an agent that is gone.
	Stages string
	// Records is a directory in memory, for what the agent after this one has to know when this
	// one is killed: commands that no process would end. Empty keeps none.
	Records string
	// CredentialsEnv is added to the environment of a command whose client answers for
	// credentials: what makes it ask the helper.
	CredentialsEnv []string
	// Socket is where the credential helper reaches this Server.
	Socket string
	// Grace is how long a command has between SIGTERM and SIGKILL; 0 means 10 s.
	Grace time.Duration
	// Settle, when set, is called with the words of a command that has ended, before its client hears of the
	// end: what the command has answered for is to last.
	Settle func(argv []string)
	// Program is the file of the agent's own program; empty means that it cannot be replaced.
	Program string
	Log     logrus.FieldLogger
}

// Server serves clients until it is closed.
type Server struct {
	o Options
	// ending is closed when no further command is accepted, and those that run must end.
	ending chan struct{}
	// replaced is closed when Program is another one.
	replaced     chan struct{}
	replacedOnce sync.Once

	mu       sync.Mutex
	closed   bool
	commands map[*command]bool
	idle     sync.WaitGroup // holds one for each command
	stages   map[string]*stage
}

// New makes a Server, and begins to end what an earlier one has left when it was killed.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, ending: make(chan struct{}), replaced: make(chan struct{}), commands: map[*command]bool{}, stages: map[string]*stage{}}
	if err := s.clearStages(); err != nil {
		return nil, err
	}
	if err := s.endOrphans(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// ServerOptions are what a gRPC server needs to carry the streams of commands well.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(agent.StreamWindow), grpc.InitialConnWindowSize(agent.ConnectionWindow),
		grpc.ReadBufferSize(agent.BufferSize), grpc.WriteBufferSize(agent.BufferSize),
		grpc.MaxRecvMsgSize(agent.MessageMax), grpc.MaxHeaderListSize(agent.HeaderMax),
	}
}

// Register adds the services of s to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	agentpb.RegisterCommandsServer(r, &commands{Server: s})
	agentpb.RegisterStagesServer(r, &stages{Server: s})
	agentpb.RegisterHelperServer(r, &helper{Server: s})
	agentpb.RegisterUpkeepServer(r, &upkeep{Server: s})
}

// Running is how many commands run.
func (s *Server) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.commands)
}

// Close ends all commands, as if their clients had gone, and returns when they have ended, or
// when ctx has.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	s.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		s.idle.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
