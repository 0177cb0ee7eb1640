package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/linnet-dev/linnet/pkg/agent"
)

// packet is what OpenSSH takes in one piece (CHAN_TCP_PACKET_DEFAULT in its channels.h).
const packet = 32 << 10

// stream is an open one to the agent. It is read from the moment it is open, so that its
// end is noticed while it is in stock; the agent says nothing before it is spoken to.
type stream struct {
	channel ssh.Channel
	link    *link
	// spoke is closed when first and firstErr are there.
	spoke    chan struct{}
	first    []byte
	firstErr error
	// closed is closed with the channel, in both directions.
	closed chan struct{}
}

// openStream asks the guest's sshd to connect to a unix socket (PROTOCOL 2.4 of OpenSSH).
func openStream(l *link, socket string) (*stream, error) {
	payload := ssh.Marshal(struct {
		Path     string
		Reserved string
		Unused   uint32
	}{Path: socket})
	channel, requests, err := l.client.OpenChannel("direct-streamlocal@openssh.com", payload)
	if err != nil {
		return nil, err
	}
	s := &stream{channel: channel, link: l, spoke: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		ssh.DiscardRequests(requests) // it returns when the channel is closed
		close(s.closed)
	}()
	go func() {
		buf := make([]byte, packet)
		n, err := channel.Read(buf)
		s.first, s.firstErr = buf[:n], err
		close(s.spoke)
	}()
	return s, nil
}

// spokeFirst reports whether something came already: for one in stock, its end.
func (s *stream) spokeFirst() bool {
	select {
	case <-s.spoke:
		return true
	default:
		return false
	}
}

// Read, Write, CloseWrite and Close are those of a connection.
func (s *stream) Read(p []byte) (int, error) {
	<-s.spoke
	if len(s.first) > 0 {
		n := copy(p, s.first)
		s.first = s.first[n:]
		return n, nil
	}
	if s.firstErr != nil {
		return 0, s.firstErr
	}
	return s.channel.Read(p)
}

func (s *stream) Write(p []byte) (int, error) { return s.channel.Write(p) }

// CloseWrite ends the sending half.
func (s *stream) CloseWrite() error { return s.channel.CloseWrite() }

// Close ends both halves.
func (s *stream) Close() error { return s.channel.Close() }

// LocalAddr and RemoteAddr name no place.
func (s *stream) LocalAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// RemoteAddr is as LocalAddr.
func (s *stream) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

var errNoDeadline = errors.New("a stream through SSH has no deadlines")

// SetDeadline is not possible; nor are its halves.
func (s *stream) SetDeadline(time.Time) error { return errNoDeadline }

// SetReadDeadline is not possible.
func (s *stream) SetReadDeadline(time.Time) error { return errNoDeadline }

// SetWriteDeadline is not possible.
func (s *stream) SetWriteDeadline(time.Time) error { return errNoDeadline }

// dial makes the stream one to a service in the guest, or closes it.
func (s *stream) dial(ctx context.Context, service string) error {
	defer context.AfterFunc(ctx, func() { s.Close() })()
	err := agent.Ask(ctx, s, service)
	if err != nil {
		s.Close()
	}
	return err
}

// through is how bytes go through a stream.
type through interface {
	io.Reader
	agent.Ending
}

// halfCloser is what TCP and unix connections are.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// splice copies both ways until both have ended, or one broke, or ctx ends. An end in one
// direction is passed on and leaves the other open. through is far, or what frames it.
func splice(ctx context.Context, near net.Conn, far *stream, through through) {
	done := context.AfterFunc(ctx, func() {
		near.Close()
		far.Close()
	})
	defer done()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.CopyBuffer(onlyWriter{through}, onlyReader{near}, make([]byte, agent.FrameSize)); err != nil {
			far.Close()
			return
		}
		_ = through.CloseWrite() // gone: the other direction tells
	})
	_, err := io.CopyBuffer(onlyWriter{near}, onlyReader{through}, make([]byte, agent.FrameSize))
	half, ok := near.(halfCloser)
	if err != nil || far.link.lost() || !ok {
		agent.Reset(near)
		far.Close()
	} else if half.CloseWrite() != nil {
		far.Close()
		near.Close()
	}
	// The agent gives up both halves at once when it ends.
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-far.closed:
		near.Close()
		<-ended
	}
	near.Close()
	far.Close()
}

// onlyReader and onlyWriter hide what would make io.CopyBuffer choose buffers by itself.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
