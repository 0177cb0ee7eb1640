package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

// ErrNotRunning says that no agent answers on the socket, ErrStopping that it is about to
// end: whoever needs an engine waits for that and starts another.
var (
	ErrNotRunning = errors.New("no agent is running")
	ErrStopping   = errors.New("the engine is being stopped")
)

// Client speaks to an agent.
type Client struct {
	conn   *grpc.ClientConn
	engine agentpb.EngineClient
}

// Dial connects to the agent on a unix socket; ErrNotRunning when nobody listens there.
func Dial(ctx context.Context, socket string) (*Client, error) {
	var dialer net.Dialer
	first, err := dialer.DialContext(ctx, "unix", socket)
	// A file in the place of the socket, or of one of its folders, is nobody who listens;
	// the start says what is wrong there.
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return nil, ErrNotRunning
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, &host.HintError{
			Err: fmt.Errorf("connecting to the agent: %s belongs to another user", socket),
			Fix: "run it as that user, or set LINNET_HOME to a folder of your own",
		}
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
