package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// Stage makes a private directory in memory in the guest. It is gone when it is closed, or
// when the connection broke and the commands that may use it have ended.
func (c *Client) Stage(ctx context.Context) (guest.Stage, error) {
	// It outlives the call that makes it.
	holding, drop := context.WithCancel(context.WithoutCancel(ctx))
	making := context.AfterFunc(ctx, drop)
	stream, err := c.stager.Hold(holding)
	var made *agentpb.HoldReply
	if err == nil {
		made, err = stream.Recv()
	}
	if !making() {
		err = ctx.Err()
	}
	if err != nil {
		drop()
		return nil, fmt.Errorf("staging files: %w", c.failure(err))
	}
	if err := checkStage(made); err != nil {
		drop()
		return nil, fmt.Errorf("staging files: %w", err)
	}
	s := &stage{client: c, id: made.GetStage(), dir: made.GetDir(), stream: stream, drop: drop}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stages[s.id] = true
	return s, nil
}

type stage struct {
	client  *Client
	id, dir string
	stream  agentpb.Stages_HoldClient
	drop    context.CancelFunc
}

// closeLimit bounds the wait for the removal of a stage. The agent removes it all the same.
const closeLimit = 10 * time.Second

// putChunk is how much of a file is sent at once.
const putChunk = 64 << 10

func (s *stage) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (string, error) {
	if err := s.put(ctx, name, mode, r); err != nil {
		return "", fmt.Errorf("staging %q: %w", name, err)
	}
	return s.Path(name), nil
}

func (s *stage) put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // an unfinished file is dropped
	stream, err := s.client.stager.Put(ctx)
	if err != nil {
		return s.failure(err)
	}
	m := &agentpb.PutRequest{Stage: s.id, Name: []byte(name), Mode: uint32(mode.Perm())}
	buf := make([]byte, putChunk)
	for first := true; ; first = false {
		n, readErr := io.ReadFull(r, buf)
		if readErr != nil && !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
			return readErr
		}
		if m.Data = buf[:n]; n > 0 || first {
			if stream.Send(m) != nil {
				break // the reply says why
			}
		}
		if readErr != nil {
			break
		}
		m = &agentpb.PutRequest{}
	}
	_, err = stream.CloseAndRecv()
	return s.failure(err)
}

func (s *stage) Path(name string) string { return path.Join(s.dir, name) }

func (s *stage) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := s.client.stager.Get(ctx, &agentpb.GetRequest{Stage: s.id, Name: []byte(name)})
	if err == nil {
		_, err = stream.Recv() // it is open
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("fetching the staged %q: %w", name, s.failure(err))
	}
	return &fetched{stage: s, stream: stream, cancel: cancel}, nil
}

// fetched is a staged file on its way back.
type fetched struct {
	stage  *stage
	stream agentpb.Stages_GetClient
	cancel context.CancelFunc
	rest   []byte
	taken  int // bytes, in all
}

func (f *fetched) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		m, err := f.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, f.stage.failure(err)
		}
		f.rest = m.GetData()
		if f.taken += len(f.rest); f.taken > fetchMax {
			return 0, breach("sends a staged file of more than %d MiB", fetchMax>>20)
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *fetched) Close() error {
	f.cancel()
	return nil
}

// Close removes the directory, and returns when it is gone.
func (s *stage) Close() error {
	defer s.drop()
	s.client.mu.Lock()
	open := s.client.stages[s.id]
	delete(s.client.stages, s.id)
	s.client.mu.Unlock()
	if !open {
		return nil
	}
	defer time.AfterFunc(closeLimit, s.drop).Stop()
	_ = s.stream.CloseSend() // never fails
	if _, err := s.stream.Recv(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("removing staged files: %w", s.failure(err))
	}
	return nil
}

// failure makes an error of the agent's what it would be here.
func (s *stage) failure(err error) error {
	of, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	known := map[codes.Code]error{
		codes.NotFound: fs.ErrNotExist, codes.AlreadyExists: fs.ErrExist, codes.PermissionDenied: fs.ErrPermission,
		codes.Canceled: context.Canceled, codes.DeadlineExceeded: context.DeadlineExceeded,
	}
	if is, ok := known[of.Code()]; ok {
		return is
	}
	return s.client.failure(err)
}
