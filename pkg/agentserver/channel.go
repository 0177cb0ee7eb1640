package agentserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
)

const (
	// prefaceSize is how many bytes tell gRPC from a raw dial.
	prefaceSize = 4
	grpcPreface = "PRI "
	dialLine    = 1024
	// dialLimit bounds a dial, and how long a client may take to finish what it has begun
	// to say. How long it takes to begin is its own affair: connections are kept in stock.
	dialLimit = 10 * time.Second
)

// Serve accepts connections until l is closed or g stopped. The first bytes of each say what
// it is: gRPC, which g serves, or a raw dial of a service.
func (s *Server) Serve(ctx context.Context, l net.Listener, g *grpc.Server) error {
	calls := &calls{addr: l.Addr(), accepted: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() {
		served <- g.Serve(calls)
		l.Close()
	}()
	defer calls.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		conn, err := l.Accept()
		if err != nil {
			calls.end()
			if err := <-served; err != nil {
				return err
			}
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		go s.sort(ctx, conn, calls)
	}
}

// sort waits for a connection's first bytes and takes it where it belongs.
func (s *Server) sort(ctx context.Context, conn net.Conn, calls *calls) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := bufio.NewReaderSize(conn, dialLine)
	first, err := r.Peek(1)
	if err == nil {
		err = conn.SetReadDeadline(time.Now().Add(dialLimit))
	}
	if err == nil {
		first, err = r.Peek(prefaceSize)
	}
	if err != nil {
		conn.Close()
		return
	}
	if string(first) == grpcPreface {
		_ = conn.SetReadDeadline(time.Time{})
		buffered, _ := r.Peek(r.Buffered())
		calls.offer(&agent.Begun{Conn: conn, Unread: buffered})
		return
	}
	line, err := r.ReadSlice('\n')
	service, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), agent.DialPrefix)
	_ = conn.SetReadDeadline(time.Time{})
	if err != nil || !ok {
		conn.Close()
		return
	}
	s.connect(ctx, conn, r, service)
}

// connect makes conn one to a service and returns when that has ended.
func (s *Server) connect(ctx context.Context, conn net.Conn, r *bufio.Reader, service string) {
	defer conn.Close()
	service, framed := strings.CutPrefix(service, agent.FramedPrefix)
	to, err := s.dial(ctx, service)
	if err != nil {
		_, _ = io.WriteString(conn, agent.DialError+strings.ReplaceAll(err.Error(), "\n", "; ")+"\n")
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { to.Close() })()
	if _, err := io.WriteString(conn, agent.DialOK+"\n"); err != nil {
		return
	}
	if half, ok := conn.(agent.Ending); ok && framed {
		// A client may end its half and be gone later: where neither side says a word, nothing else tells.
		there, done := host.UntilHangup(ctx, conn)
		defer done()
		spare := context.AfterFunc(there, func() { agent.Reset(to) })
		defer spare()
		carry(to, conn, agent.NewFramed(r, &answered{half, spare}))
		return
	}
	if early, _ := r.Peek(r.Buffered()); len(early) > 0 {
		if _, err := to.Write(early); err != nil {
			return
		}
	}
	var both sync.WaitGroup
	both.Go(func() { pass(to, conn) })
	pass(conn, to)
	both.Wait()
}

func (s *Server) dial(ctx context.Context, service string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialLimit}
	if address, ok := strings.CutPrefix(service, "tcp:"); ok {
		return d.DialContext(ctx, "tcp", address)
	}
	if address, ok := strings.CutPrefix(service, "udp:"); ok {
		return dialUDP(ctx, address)
	}
	socket, ok := s.o.Services[service]
	if !ok {
		return nil, fmt.Errorf(agent.NoService+" %q", service)
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return host.DialUnix(ctx, socket)
}

// pass copies one way and passes its end on: the end of what is sent forwards, and that
// the receiver takes no more of it backwards.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // spliced by the kernel
	closeHalf(from, to)
}

// closeHalf ends what is sent to one, and tells the other that no more is taken.
func closeHalf(from, to net.Conn) {
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if half, ok := from.(interface{ CloseRead() error }); ok {
		_ = half.CloseRead()
	}
}

// answered is a client that is no longer watched once it has its whole answer: with its own half ended it looks as if it were gone, and what it
// has sent may still be unread.
type answered struct {
	agent.Ending
	spare func() bool
}

func (a *answered) CloseWrite() error {
	a.spare()
	return a.Ending.CloseWrite()
}

// carry copies both ways between a service and a client that tells an end from a cut, so that
// each side sees the other's end as it was.
func carry(to, client net.Conn, frames *agent.Framed) {
	w := &watched{Writer: to}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		switch readErr, writeErr := move(w, frames); {
		case readErr != nil:
			agent.Reset(to)
		case writeErr != nil:
			closeHalf(client, nil) // what was answered before is still read
		default:
			closeHalf(nil, to)
		}
	}()
	readErr, writeErr := move(frames, to)
	if readErr != nil || writeErr != nil || w.failed() || frames.CloseWrite() != nil {
		agent.Reset(to)
		client.Close()
	}
	<-sent
}

// watched is written to by one and watched by another. A reset is told to the one that asks the
// kernel first, and to the other as an end.
type watched struct {
	io.Writer
	writing, broken atomic.Bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.writing.Store(true)
	n, err := w.Writer.Write(p)
	if err != nil {
		w.broken.Store(true)
	}
	w.writing.Store(false)
	return n, err
}

// failed reports whether writing has met a reset, for a reader that has just met an end. A write under
// way either comes back with it at once, or goes on.
func (w *watched) failed() bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10 {
		if !w.writing.Load() {
			break
		}
		<-tick.C
	}
	return w.broken.Load()
}

// move copies until the end and says which side has failed before.
func move(to io.Writer, from io.Reader) (readErr, writeErr error) {
	buf := make([]byte, agent.FrameSize)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, writeErr := to.Write(buf[:n]); writeErr != nil {
				return nil, writeErr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return err, nil
		}
	}
}

// calls is the listener of those connections that speak gRPC.
type calls struct {
	addr     net.Addr
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (c *calls) offer(conn net.Conn) {
	select {
	case c.accepted <- conn:
	case <-c.closed:
		conn.Close()
	}
}

func (c *calls) Accept() (net.Conn, error) {
	select {
	case conn := <-c.accepted:
		return conn, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *calls) Close() error {
	c.end()
	return nil
}

func (c *calls) end() { c.once.Do(func() { close(c.closed) }) }

func (c *calls) Addr() net.Addr { return c.addr }
