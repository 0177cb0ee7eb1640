package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// ErrBusy says that commands run, which a new agent would end.
var ErrBusy = errors.New("commands are running over there")

// Replace puts another program in the agent's place and returns when that answers. sum is
// the SHA-256 of the program in hexadecimal. ErrBusy when commands run, unless forced.
func (c *Client) Replace(ctx context.Context, program io.Reader, sum string, force bool) error {
	before, err := c.Info(ctx)
	if err == nil {
		err = c.replace(ctx, program, sum, force)
	}
	if err == nil {
		err = c.awaitOther(ctx, before)
	}
	if err != nil {
		return fmt.Errorf("replacing the agent: %w", err)
	}
	return nil
}

func (c *Client) replace(ctx context.Context, program io.Reader, sum string, force bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.upkeep.Replace(ctx)
	if err != nil {
		return c.failure(err)
	}
	m := &agentpb.ReplaceRequest{Force: force, Sha256: sum}
	for buf := make([]byte, putChunk); ; {
		n, readErr := program.Read(buf)
		m.Data = buf[:n]
		if stream.Send(m) != nil {
			break // the reply says why
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return readErr
		}
		m = &agentpb.ReplaceRequest{}
	}
	_, err = stream.CloseAndRecv()
	if status.Code(err) == codes.FailedPrecondition {
		return ErrBusy
	}
	return c.failure(err)
}

// awaitOther waits until another agent than the one of before answers.
func (c *Client) awaitOther(ctx context.Context, before *agentpb.InfoReply) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := c.Info(ctx)
		if err == nil && now.GetStartedUnixNano() != before.GetStartedUnixNano() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
