package agentserver

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

type commands struct {
	agentpb.UnimplementedCommandsServer
	*Server
}

// Run runs one command of a client.
func (s *commands) Run(stream agentpb.Commands_RunServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetStart() == nil {
		return status.Error(codes.InvalidArgument, "the first message says which command to run")
	}
	c := newCommand(s.Server, stream, first.GetStart())
	if err := s.admit(c); err != nil {
		return agent.ToStatus(err)
	}
	defer s.idle.Done()
	end := c.run(stream.Context())
	if s.o.Settle != nil {
		s.o.Settle(words(c.start.GetArgv()))
	}
	s.release(c) // before its client hears of it, who may count on that
	return c.send(&agentpb.RunReply{What: &agentpb.RunReply_Exit{Exit: end}})
}

// admit counts c among the commands.
func (s *Server) admit(c *command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return agent.ErrStopping
	}
	s.commands[c] = true
	s.idle.Add(1)
	for _, id := range c.start.GetStages() {
		if st, ok := s.stages[id]; ok {
			c.stages = append(c.stages, st)
			st.users++
		}
	}
	return nil
}

// release lets go of what c has used.
func (s *Server) release(c *command) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.commands, c)
	for _, st := range c.stages {
		st.users--
		_ = s.sweep(st) // it has said so
	}
}

// command is a command of a client.
type command struct {
	server *Server
	stream agentpb.Commands_RunServer
	start  *agentpb.Start
	// token lets the credential helper of this command find it; empty when the client
	// does not answer for credentials.
	token  string
	stages []*stage
	record string // a file, while the command runs

	sending sync.Mutex // messages are sent one at a time
	stdin   *inbox     // nil when there is no input
	stdout  *output
	stderr  *output
	signals chan os.Signal
	resizes chan host.Size
	asked   questions
}

func newCommand(s *Server, stream agentpb.Commands_RunServer, start *agentpb.Start) *command {
	c := &command{
		server: s, stream: stream, start: start,
		signals: make(chan os.Signal, signalQueue), resizes: make(chan host.Size, 1),
	}
	c.stdout = newOutput(c, func(p []byte) *agentpb.RunReply { return &agentpb.RunReply{What: &agentpb.RunReply_Stdout{Stdout: p}} })
	c.stderr = newOutput(c, func(p []byte) *agentpb.RunReply { return &agentpb.RunReply{What: &agentpb.RunReply_Stderr{Stderr: p}} })
	if start.GetStdin() {
		c.stdin = newInbox(func(n int64) { _ = c.send(&agentpb.RunReply{What: &agentpb.RunReply_Grant{Grant: n}}) })
	}
	if start.GetCredentials() {
		c.token = rand.Text()
	}
	return c
}

// signalQueue is how many signals wait for their delivery; more than that have merged, as
// they do in the kernel.
const signalQueue = 64

func (c *command) send(m *agentpb.RunReply) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.stream.Send(m)
}

// run runs the command to its end and says how that was.
func (c *command) run(ctx context.Context) *agentpb.Exit {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopping := false
	supervised := make(chan struct{})
	go func() {
		defer close(supervised)
		select {
		case <-c.server.ending:
			stopping = true
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		c.receive()
		cancel() // the client gave up, or is gone
	}()
	code, err := host.Run(ctx, c.command())
	if c.record != "" {
		_ = os.Remove(c.record)
	}
	cancelled := err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err())
	cancel()
	<-supervised
	if c.stdin != nil {
		c.stdin.close()
	}
	return exit(code, err, cancelled, stopping)
}

func exit(code int, err error, cancelled, stopping bool) *agentpb.Exit {
	e := &agentpb.Exit{Code: int32(code)} //nolint:gosec // -1 to 255
	switch {
	case cancelled && stopping:
		e.Reason = agentpb.Exit_REASON_STOPPING
	case cancelled:
		e.Reason = agentpb.Exit_REASON_CANCELLED
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = agentpb.Exit_REASON_NOT_FOUND
	case errors.Is(err, fs.ErrPermission):
		e.Reason = agentpb.Exit_REASON_NOT_PERMITTED
	}
	if err != nil {
		e.Error = strings.ToValidUTF8(err.Error(), "\uFFFD")
	}
	return e
}

// command is what this machine is asked to run.
func (c *command) command() host.Command {
	s := c.start
	h := host.Command{
		Argv: c.server.argv(words(s.GetArgv())), OnCancel: c.server.argv(words(s.GetAbandoned())),
		Env: c.environ(), Variables: words(s.GetVariables()), Dir: string(s.GetDir()),
		Signals: c.signals, Grace: c.server.o.Grace,
		Started: c.started,
	}
	if h.Dir == "" {
		h.Dir = c.server.o.Dir
	}
	if c.stdin != nil {
		h.Stdin = c.stdin
	}
	if !s.GetNoStdout() {
		h.Stdout = c.stdout
	}
	if s.GetMerged() {
		h.Stderr = h.Stdout
	} else if !s.GetNoStderr() {
		h.Stderr = c.stderr
	}
	if t := s.GetTerminal(); t != nil {
		h.Terminal = &host.Terminal{Term: t.GetTerm(), Size: size(t.GetSize()), Resize: c.resizes}
	}
	return h
}

func size(s *agentpb.WindowSize) host.Size {
	return host.Size{Rows: uint16(s.GetRows()), Cols: uint16(s.GetCols())} //nolint:gosec // what a client cuts off is its own
}

func words(list [][]byte) []string {
	var out []string
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}

// argv resolves the names of the pinned programs; any other name stays.
func (s *Server) argv(argv []string) []string {
	if len(argv) > 0 {
		if program, ok := s.o.Programs[argv[0]]; ok {
			argv[0] = program
		}
	}
	return argv
}

// environ is the guest's own environment, what the client adds and takes out, and the way to
// the client's credentials.
func (c *command) environ() []string {
	add := []string{}
	for _, pair := range c.start.GetEnv() {
		add = append(add, string(pair))
	}
	if c.token != "" {
		add = append(add, c.server.o.CredentialsEnv...)
		add = append(add, credentialsVariable+"="+c.token+"@"+c.server.o.Socket)
	}
	return environ(c.server.o.Env, add)
}

func environ(base, add []string) []string {
	last := map[string]int{}
	for i, pair := range add {
		name, _, _ := strings.Cut(pair, "=")
		last[name] = i
	}
	env := []string{}
	for _, pair := range base {
		name, _, _ := strings.Cut(pair, "=")
		if _, ok := last[name]; !ok {
			env = append(env, pair)
		}
	}
	for i, pair := range add {
		if name, _, value := strings.Cut(pair, "="); value && last[name] == i {
			env = append(env, pair)
		}
	}
	return env
}

func (c *command) started(pid int) {
	c.record = c.server.record(pid, c.start)
	_ = c.send(&agentpb.RunReply{What: &agentpb.RunReply_Started{Started: &agentpb.Started{Pid: int64(pid), Version: agent.Version}}})
	if c.stdin != nil {
		c.stdin.open()
	}
}

// receive takes what the client says until it gives up or is gone. It must never wait for
// the process: a signal is not to stand behind anything.
func (c *command) receive() {
	for {
		m, err := c.stream.Recv()
		if err != nil {
			return
		}
		switch what := m.GetWhat().(type) {
		case *agentpb.RunRequest_Stdin:
			if c.stdin == nil || !c.stdin.put(what.Stdin) {
				return // more than was granted
			}
		case *agentpb.RunRequest_Signal:
			if s := unix.SignalNum("SIG" + what.Signal); s != 0 {
				select {
				case c.signals <- s:
				default:
				}
			}
		case *agentpb.RunRequest_Resize:
			c.resize(size(what.Resize))
		case *agentpb.RunRequest_Closed:
			if what.Closed == agentpb.Output_OUTPUT_STDERR {
				c.stderr.leave()
			} else {
				c.stdout.leave()
			}
		case *agentpb.RunRequest_Credentials:
			c.asked.answer(what.Credentials)
		}
	}
}

// resize keeps the latest size only.
func (c *command) resize(s host.Size) {
	for {
		select {
		case c.resizes <- s:
			return
		default:
		}
		select {
		case <-c.resizes:
		default:
		}
	}
}
