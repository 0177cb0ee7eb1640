package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// ErrLost says that the connection broke while a command ran. The agent ends the command,
// if there still is an agent: how it ended is not known.
var ErrLost = errors.New("the connection to the engine was lost while the command ran")

// NotFound is how an agent is told that there are no credentials for a registry.
const NotFound = "not found"

const (
	// inputChunk is the most of the input that is sent at once.
	inputChunk = 64 << 10
	// cancelLimit is how long a cancelled command is waited for. The agent gives it 10 s
	// between SIGTERM and SIGKILL, and what cleans up after it a minute.
	cancelLimit = 90 * time.Second
	// muteLimit is how long a cancelled command is waited for of which nothing was ever heard.
	muteLimit = time.Second
)

// Run runs p in the guest, as guest.Guest says.
func (c *Client) Run(ctx context.Context, p guest.Process) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The stream outlives ctx: a cancelled process is asked to end, and heard to its end.
	streamCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	connecting := context.AfterFunc(ctx, end)
	stream, err := c.commands.Run(streamCtx)
	if !connecting() {
		return ctx.Err()
	}
	if err != nil {
		return c.failure(err)
	}
	r := &run{client: c, Process: p, stream: stream, granted: make(chan struct{}, 1)}
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(cancelLimit, end)
		time.AfterFunc(muteLimit, func() {
			if !r.heard.Load() {
				end()
			}
		})
	})()
	r.open(streamCtx)
	r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Start{Start: r.start()}})
	if p.Signals != nil {
		go r.passSignals(streamCtx)
	}
	if p.TTY != nil && p.TTY.Resize != nil {
		go r.passSizes(streamCtx)
	}
	defer context.AfterFunc(ctx, r.giveUp)()
	return r.follow(ctx, streamCtx)
}

// run is a process that runs in the guest.
type run struct {
	guest.Process
	client *Client
	stream agentpb.Commands_RunClient
	stdout *outlet // nil when the caller does not want it
	stderr *outlet // nil too when it goes where stdout does

	sending sync.Mutex // messages are sent one at a time
	gaveUp  bool

	grants   atomic.Int64  // bytes of input that may be sent and are not
	granted  chan struct{} // says that grants has changed
	stdinErr atomic.Pointer[error]

	// questions are the requests for credentials that wait; nil until there was one.
	questions chan *agentpb.CredentialsRequest

	heard   atomic.Bool // the agent has said something
	started bool        // the agent has said that the process runs
}

// open prepares the outputs.
func (r *run) open(ctx context.Context) {
	if r.Stdout != nil {
		r.stdout = newOutlet(ctx, "output", r.Stdout, func() { r.sendClosed(agentpb.Output_OUTPUT_STDOUT) })
	}
	if r.Stderr != nil && r.TTY == nil && !host.SameWriter(r.Stdout, r.Stderr) {
		r.stderr = newOutlet(ctx, "error", r.Stderr, func() { r.sendClosed(agentpb.Output_OUTPUT_STDERR) })
	}
}

// start says what to run.
func (r *run) start() *agentpb.Start {
	s := &agentpb.Start{
		Argv: toBytes(r.Argv), Env: toBytes(r.Env), Variables: toBytes(r.Variables), Dir: []byte(r.Dir), Abandoned: toBytes(r.OnCancel),
		Stdin: r.Stdin != nil, NoStdout: r.Stdout == nil, NoStderr: r.Stderr == nil,
		Merged:      r.Stderr != nil && r.stderr == nil,
		Credentials: r.Credentials != nil, Version: Version,
	}
	if r.TTY != nil {
		s.Terminal = &agentpb.Terminal{Term: r.TTY.Term, Size: windowSize(r.TTY.Size)}
	}
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	s.Stages = slices.Collect(maps.Keys(r.client.stages))
	return s
}

func toBytes(list []string) [][]byte {
	var out [][]byte
	for _, s := range list {
		out = append(out, []byte(s))
	}
	return out
}

func windowSize(s guest.Size) *agentpb.WindowSize {
	return &agentpb.WindowSize{Rows: uint32(s.Rows), Cols: uint32(s.Cols)}
}

// send sends a message. A stream that has ended says why when it is read.
func (r *run) send(m *agentpb.RunRequest) {
	r.sending.Lock()
	defer r.sending.Unlock()
	if !r.gaveUp {
		_ = r.stream.Send(m)
	}
}

func (r *run) sendClosed(o agentpb.Output) {
	r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Closed{Closed: o}})
}

// giveUp asks the agent to end the command.
func (r *run) giveUp() {
	r.sending.Lock()
	defer r.sending.Unlock()
	r.gaveUp = true
	_ = r.stream.CloseSend() // never fails
}

func (r *run) passSignals(ctx context.Context) {
	for {
		select {
		case s, ok := <-r.Signals:
			if !ok {
				return
			}
			// By name: numbers differ between systems.
			if sig, ok := s.(syscall.Signal); ok {
				r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Signal{Signal: strings.TrimPrefix(unix.SignalName(sig), "SIG")}})
			}
		case <-ctx.Done():
			return
		}
	}
}

func (r *run) passSizes(ctx context.Context) {
	for {
		select {
		case s, ok := <-r.TTY.Resize:
			if !ok {
				return
			}
			r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Resize{Resize: windowSize(s)}})
		case <-ctx.Done():
			return
		}
	}
}

// feed sends the input, never more of it than was granted, and its end.
func (r *run) feed(ctx context.Context) {
	buf := make([]byte, inputChunk)
	var may int64
	for {
		for may += r.grants.Swap(0); may == 0; may += r.grants.Swap(0) {
			select {
			case <-r.granted:
			case <-ctx.Done():
				return
			}
		}
		n, err := r.Stdin.Read(buf[:min(may, inputChunk)])
		if n > 0 {
			may -= int64(n)
			r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Stdin{Stdin: buf[:n]}})
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("reading standard input: %w", err)
			r.stdinErr.Store(&err)
		}
		r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Stdin{}})
		return
	}
}

// follow takes what the agent tells until the process has ended.
func (r *run) follow(ctx, streamCtx context.Context) error {
	for {
		reply, err := r.stream.Recv()
		if err != nil {
			return r.lost(ctx, err)
		}
		r.heard.Store(true)
		switch what := reply.GetWhat().(type) {
		case *agentpb.RunReply_Started:
			if r.Stdin != nil && !r.started {
				go r.feed(streamCtx)
			}
			r.started = true
		case *agentpb.RunReply_Grant:
			if what.Grant < 0 || what.Grant > grantMax {
				return breach("takes %d bytes of input at once", what.Grant)
			}
			r.grants.Add(what.Grant)
			select {
			case r.granted <- struct{}{}:
			default:
			}
		case *agentpb.RunReply_Stdout:
			r.stdout.take(ctx, what.Stdout)
		case *agentpb.RunReply_Stderr:
			r.stderr.take(ctx, what.Stderr)
		case *agentpb.RunReply_Credentials:
			if err := r.ask(streamCtx, what.Credentials); err != nil {
				return err
			}
		case *agentpb.RunReply_Exit:
			r.stdout.finish(ctx)
			r.stderr.finish(ctx)
			return r.result(ctx, what.Exit)
		}
	}
}

// ask has a request for credentials answered, one at a time and in their order.
func (r *run) ask(ctx context.Context, q *agentpb.CredentialsRequest) error {
	if r.Credentials == nil {
		return breach("asks for the credentials of %s, and this command was given none", said(fmt.Sprintf("%.100q", q.GetRegistry())))
	}
	if r.questions == nil {
		r.questions = make(chan *agentpb.CredentialsRequest, questionsMax)
		go func() {
			for {
				select {
				case q := <-r.questions:
					if ctx.Err() != nil { // select takes either of two that are ready
						return
					}
					r.answer(ctx, q)
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	select {
	case r.questions <- q:
		return nil
	default:
		return breach("asks for the credentials of more than %d registries at once", questionsMax)
	}
}

// answer answers a request for credentials.
func (r *run) answer(ctx context.Context, q *agentpb.CredentialsRequest) {
	a := &agentpb.Credentials{Id: q.GetId(), Error: NotFound}
	got, err := r.Credentials(ctx, q.GetRegistry())
	switch {
	case err != nil:
		a.Error = strings.ToValidUTF8(err.Error(), "\uFFFD")
	case got != guest.Credentials{}:
		a.Error, a.Username, a.Secret = "", got.Username, got.Secret
	}
	r.send(&agentpb.RunRequest{What: &agentpb.RunRequest_Credentials{Credentials: a}})
}

// lost is what a stream that broke means.
func (r *run) lost(ctx context.Context, err error) error {
	r.stdout.finish(ctx)
	r.stderr.finish(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("ending the command: %w; how it ended is not known", ctx.Err())
	}
	if s, ok := status.FromError(err); ok && (s.Code() != codes.Unavailable || s.Message() == ErrStopping.Error()) {
		return FromStatus(err)
	}
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if r.client.failed != nil && !r.started {
		return r.client.failed
	}
	return &hint.Error{Err: ErrLost, Fix: "`linnet engine status` says whether the engine runs"}
}

// result is how the process ended, and what went wrong with its streams here.
func (r *run) result(ctx context.Context, exit *agentpb.Exit) error {
	switch reason := exit.GetReason(); {
	case reason == agentpb.Exit_REASON_STOPPING:
		return ErrStopping
	case reason == agentpb.Exit_REASON_CANCELLED && ctx.Err() != nil:
		return ctx.Err()
	case exit.GetError() != "":
		return &farError{said(exit.GetError()), reason}
	case exit.GetCode() < -1 || exit.GetCode() > 255:
		return breach("says that the command ended with %d", exit.GetCode())
	}
	errs := []error{r.stdout.failure(), r.stderr.failure()}
	if err := r.stdinErr.Load(); err != nil {
		errs = append(errs, *err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if code := int(exit.GetCode()); code != 0 {
		return &guest.ExitError{Code: code}
	}
	return nil
}

// farError is an error from in the guest, with what it is here.
type farError struct {
	text   string
	reason agentpb.Exit_Reason
}

func (e *farError) Error() string { return e.text }

func (e *farError) Is(target error) bool {
	switch e.reason {
	case agentpb.Exit_REASON_NOT_FOUND:
		return target == fs.ErrNotExist
	case agentpb.Exit_REASON_NOT_PERMITTED:
		return target == fs.ErrPermission
	default:
		return false
	}
}
