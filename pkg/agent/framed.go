package agent

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

const (
	// FramedPrefix in front of a service asks for a connection that is Framed.
	FramedPrefix = "framed:"
	// NoService begins an agent's answer to a service that it does not know: as it is that
	// of one from before FramedPrefix.
	NoService = "the engine has no service"
	// FrameSize is the most that is in one piece: with its length it is what sshd takes at once.
	FrameSize = 32<<10 - 2
)

// Framed is a stream on which an end is told from a cut. TCP does so by a reset, which neither a
// unix socket nor a channel of SSH on the way carries: there, a server that died in the middle of
// its answer looks like one that has said everything.
//
// Each piece has its length in front, in two bytes, big endian; a piece of length 0 is the end. One
// at a time reads, and one writes.
type Framed struct {
	in    *bufio.Reader
	left  int // of the piece that is being read
	ended bool
	to    Ending
	out   []byte
}

// Ending is what can be written to and ended.
type Ending interface {
	io.Writer
	CloseWrite() error
}

// NewFramed makes a Framed of the two halves of a connection.
func NewFramed(in io.Reader, out Ending) *Framed {
	return &Framed{in: bufio.NewReaderSize(in, FrameSize+2), to: out}
}

// Read fails with io.ErrUnexpectedEOF where the stream was cut.
func (f *Framed) Read(p []byte) (int, error) {
	for f.left == 0 {
		if f.ended {
			return 0, io.EOF
		}
		var length [2]byte
		if _, err := io.ReadFull(f.in, length[:]); err != nil {
			return 0, cut(err)
		}
		f.left = int(binary.BigEndian.Uint16(length[:]))
		f.ended = f.left == 0
	}
	n, err := f.in.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, cut(err)
}

func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *Framed) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), FrameSize)]
		f.out = binary.BigEndian.AppendUint16(f.out[:0], uint16(len(piece))) //nolint:gosec // at most FrameSize
		f.out = append(f.out, piece...)
		if _, err := f.to.Write(f.out); err != nil {
			return n, err
		}
		n, p = n+len(piece), p[len(piece):]
	}
	return n, nil
}

// CloseWrite says that this was all. A stream that is closed without it is cut.
func (f *Framed) CloseWrite() error {
	if _, err := f.to.Write([]byte{0, 0}); err != nil {
		return err
	}
	return f.to.CloseWrite()
}

// Reset ends a connection so that its peer does not take what it got for the whole.
func Reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
