package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// ErrNotRunning says that no agent answers on the socket.
var ErrNotRunning = errors.New("no agent is running")

// Client speaks to an agent.
type Client struct {
	conn   *grpc.ClientConn
	engine agentpb.EngineClient
}

// Dial connects to the agent on a unix socket; ErrNotRunning when nobody listens there.
func Dial(ctx context.Context, socket string) (*Client, error) {
	var dialer net.Dialer
	first, err := dialer.DialContext(ctx, "unix", socket)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	first.Close()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	return &Client{conn: conn, engine: agentpb.NewEngineClient(conn)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Info asks for versions, process ids and states.
func (c *Client) Info(ctx context.Context) (*agentpb.InfoReply, error) {
	reply, err := c.engine.Info(ctx, &agentpb.InfoRequest{})
	return reply, FromStatus(err)
}

// Ready waits until the engine answers and passes on what it waits for.
func (c *Client) Ready(ctx context.Context, tell func(*agentpb.Event)) error {
	stream, err := c.engine.Ready(ctx, &agentpb.ReadyRequest{})
	if err != nil {
		return FromStatus(err)
	}
	return events(stream, tell)
}

// Stop stops the engine and the agent.
func (c *Client) Stop(ctx context.Context, req *agentpb.StopRequest, tell func(*agentpb.Event)) error {
	stream, err := c.engine.Stop(ctx, req)
	if err != nil {
		return FromStatus(err)
	}
	return events(stream, tell)
}

func events(stream grpc.ServerStreamingClient[agentpb.Event], tell func(*agentpb.Event)) error {
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return FromStatus(err)
		}
		tell(event)
	}
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
