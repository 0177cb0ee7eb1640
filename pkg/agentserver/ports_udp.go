package agentserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

// largestDatagram is what UDP's length field allows.
const largestDatagram = 65535

// dialUDP connects to a UDP port. Its datagrams come and go as a stream: each behind its
// length in two bytes, big endian.
func dialUDP(ctx context.Context, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	return &datagrams{Conn: conn}, nil
}

// datagrams is read by one and written by one at a time.
type datagrams struct {
	net.Conn
	in  [2 + largestDatagram]byte
	got []byte // of in, what was not read yet
	out []byte // of the datagram that is being written
}

func (d *datagrams) Read(p []byte) (int, error) {
	for len(d.got) == 0 {
		n, err := d.Conn.Read(d.in[2:])
		if errors.Is(err, net.ErrClosed) {
			return 0, io.EOF
		}
		if err != nil {
			continue // no process listened when something was sent
		}
		binary.BigEndian.PutUint16(d.in[:], uint16(n)) //nolint:gosec // at most 65535
		d.got = d.in[:2+n]
	}
	n := copy(p, d.got)
	d.got = d.got[n:]
	return n, nil
}

func (d *datagrams) Write(p []byte) (int, error) {
	d.out = append(d.out, p...)
	rest := d.out
	for len(rest) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(rest))
		if len(rest) < end {
			break
		}
		if _, err := d.Conn.Write(rest[2:end]); errors.Is(err, net.ErrClosed) {
			return 0, err
		}
		rest = rest[end:]
	}
	d.out = d.out[:copy(d.out, rest)]
	return len(p), nil
}

// CloseWrite ends the conversation: a client that sends no more datagrams has left.
func (d *datagrams) CloseWrite() error { return d.Close() }
