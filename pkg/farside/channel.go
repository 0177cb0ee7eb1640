package farside

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
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
		calls.offer(&begun{conn, buffered})
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
		return nil, fmt.Errorf("the engine has no service %q", service)
	}
	return d.DialContext(ctx, "unix", socket)
}

// pass copies one way and passes its end on: the end of what is sent forwards, and that
// nobody takes it any more backwards.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // spliced by the kernel
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	if half, ok := from.(interface{ CloseRead() error }); ok {
		_ = half.CloseRead()
	}
}

// begun is a connection of which something has been read.
type begun struct {
	net.Conn
	read []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	}
	return b.Conn.Read(p)
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
