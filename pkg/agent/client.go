package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/report"
)

// Protocol is the revision of what client and agent say to each other. It changes when one
// of the other revision would be misunderstood.
const Protocol = 2

// protocolHeader is how an agent says its revision before anything else is said to it.
const protocolHeader = "linnet-protocol"

// Revision is the header of an answer that a client looks at first.
func Revision() metadata.MD { return metadata.Pairs(protocolHeader, strconv.Itoa(Protocol)) }

// How much of a stream may be under way, unread, in either direction. It bounds how far a
// process gets ahead of the reader of what it writes.
const (
	// StreamWindow is for one stream, ConnectionWindow for all of a connection.
	StreamWindow     = 1 << 20
	ConnectionWindow = 16 << 20
	// BufferSize is how much is read and written at once on a connection.
	BufferSize = 128 << 10
	// MessageMax is the largest message to an agent: a command with all its arguments and variables.
	MessageMax = 16 << 20
)

// ErrNotRunning says that no agent answers on the socket, ErrStopping that it is about to
// end: a client that needs an engine waits for that and starts another. ErrProtocol says that the one
// that answers has another Protocol.
var (
	ErrNotRunning = errors.New("no agent is running")
	ErrStopping   = errors.New("the engine is being stopped")
	ErrProtocol   = errors.New("the agent is of another version of linnet, which this one does not understand")
)

// Dialer opens a connection to an agent's socket, wherever that is.
type Dialer func(ctx context.Context) (net.Conn, error)

// Client speaks to an agent. It is safe for concurrent use.
type Client struct {
	dialer   Dialer
	conn     *grpc.ClientConn
	engine   agentpb.EngineClient
	commands agentpb.CommandsClient
	stager   agentpb.StagesClient
	upkeep   agentpb.UpkeepClient

	mu     sync.Mutex
	first  net.Conn        // the connection of Connect, until a call needs one
	failed error           // of the last dial, nil when it succeeded
	stages map[string]bool // the identifiers of those that are open
}

// Dial connects to the agent on a unix socket; ErrNotRunning when no agent listens there.
func Dial(ctx context.Context, socket string) (*Client, error) {
	return Connect(ctx, Socket(socket))
}

// DialInGuest is Dial for root in the guest that the agent runs in: the agent has given its socket to the client's user, and
// only root may put one in its directory.
func DialInGuest(ctx context.Context, socket string) (*Client, error) {
	return Connect(ctx, dialer(socket, func(ctx context.Context, path string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}))
}

// Socket dials a unix socket of root's or the user's; ErrNotRunning when no agent listens there.
func Socket(path string) Dialer { return dialer(path, host.DialUnix) }

func dialer(path string, dial func(ctx context.Context, path string) (net.Conn, error)) Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx, path)
		// A file in the place of the socket, or of one of its directories, is no agent that listens;
		// the start says what is wrong there.
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
			return nil, ErrNotRunning
		}
		if errors.Is(err, os.ErrPermission) {
			return nil, hint.With(fmt.Errorf("connecting to the agent: %s belongs to another user", path),
				"run it as that user, or set LINNET_HOME to a directory of your own")
		}
		if err != nil {
			if distrust := (*host.DistrustError)(nil); errors.As(err, &distrust) {
				return nil, host.Distrusted("connecting to the agent", err, "see who made it: the engine's sockets are root's or yours")
			}
			return nil, fmt.Errorf("connecting to the agent: %w", err)
		}
		return conn, nil
	}
}

// Connect connects to the agent that dial reaches, and again when the connection broke. An
// error of the first dial is returned as it is.
func Connect(ctx context.Context, dial Dialer) (*Client, error) {
	first, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &Client{dialer: dial, first: first, stages: map[string]bool{}}
	c.conn, err = grpc.NewClient("passthrough:///agent",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := c.connection(ctx)
			if err != nil {
				return nil, err
			}
			return &Begun{Conn: conn, Unread: []byte(emptySettings)}, nil
		}),
		grpc.WithInitialWindowSize(StreamWindow), grpc.WithInitialConnWindowSize(ConnectionWindow),
		grpc.WithReadBufferSize(BufferSize), grpc.WithWriteBufferSize(BufferSize),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(ReplyMax)), grpc.WithMaxHeaderListSize(HeaderMax),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		// A machine that boots lets its clients wait; how long they do is theirs to say.
		// An agent that is replaced is soon back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: time.Hour,
		}),
	)
	if err != nil {
		first.Close()
		return nil, fmt.Errorf("connecting to the agent: %w", err)
	}
	c.engine, c.commands = agentpb.NewEngineClient(c.conn), agentpb.NewCommandsClient(c.conn)
	c.stager, c.upkeep = agentpb.NewStagesClient(c.conn), agentpb.NewUpkeepClient(c.conn)
	return c, nil
}

// connection is a connection that no call uses yet.
func (c *Client) connection(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	conn := c.first
	c.first = nil
	c.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	conn, err := c.dialer(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = err
	return conn, err
}

// emptySettings is a SETTINGS frame of HTTP/2 without a setting (RFC 9113, 6.5). A client may
// speak before the server's settings have come (3.4), but gRPC waits for them: a whole trip.
// So these seem to have come already; the server's own follow and are obeyed.
const emptySettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// Begun is a connection of which something was read already, which is read first.
type Begun struct {
	net.Conn
	Unread []byte
}

func (b *Begun) Read(p []byte) (int, error) {
	if len(b.Unread) > 0 {
		n := copy(p, b.Unread)
		b.Unread = b.Unread[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first != nil {
		c.first.Close()
		c.first = nil
	}
	return c.conn.Close()
}

// Info asks for versions, process ids and states.
func (c *Client) Info(ctx context.Context) (*agentpb.InfoReply, error) {
	reply, err := c.engine.Info(ctx, &agentpb.InfoRequest{}, grpc.MaxCallRecvMsgSize(infoMax))
	if err != nil {
		return nil, c.failure(err)
	}
	return tidy(reply)
}

// Ready waits until the named daemons of the engine answer, or all of them when none is
// named, and passes on what it waits for. ErrProtocol when the agent is not of this client's revision.
func (c *Client) Ready(ctx context.Context, tell func(*agentpb.Event), daemons ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.engine.Ready(ctx, &agentpb.ReadyRequest{Daemons: daemons})
	if err != nil {
		return c.failure(err)
	}
	if err := c.events(stream, tell); err != nil {
		return err
	}
	h, err := stream.Header()
	if says := h.Get(protocolHeader); err == nil && len(says) > 0 && !slices.Equal(says, Revision().Get(protocolHeader)) {
		return ErrProtocol
	}
	return err
}

// Stop stops the engine and the agent.
func (c *Client) Stop(ctx context.Context, req *agentpb.StopRequest, tell func(*agentpb.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.engine.Stop(ctx, req)
	if err != nil {
		return c.failure(err)
	}
	return c.events(stream, tell)
}

func (c *Client) events(stream grpc.ServerStreamingClient[agentpb.Event], tell func(*agentpb.Event)) error {
	for range eventsMax {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.failure(err)
		}
		event.Text = report.Clean(cutText(event.GetText(), eventMax))
		tell(event)
	}
	return breach("tells of more than %d events", eventsMax)
}

// failure is what the caller is told of a failed call: why there was no connection, when
// that is the reason, or what the agent said.
func (c *Client) failure(err error) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := FromStatus(err); !errors.Is(err, ErrStopping) || c.failed == nil {
		return err
	}
	return c.failed
}
