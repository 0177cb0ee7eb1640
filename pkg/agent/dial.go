package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// What a client says on a connection that is to become one to a service in the guest, and
// what the agent answers. Bytes follow, both ways, and each way ends by itself.
const (
	DialPrefix = "LINNET DIAL " // then the service, then a newline
	DialOK     = "OK"
	DialError  = "ERR " // then why, then a newline
)

// dialLine is the longest line that either says.
const dialLine = 1024

// Dial connects to a service in the guest: "containerd", "buildkit", or "tcp:ADDRESS:PORT". The
// result has a CloseWrite method where the connections of the Dialer have one.
func (c *Client) Dial(ctx context.Context, service string) (net.Conn, error) {
	conn, err := c.connection(ctx)
	if err != nil {
		return nil, err
	}
	if err := Ask(ctx, conn, service); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting to %s: %w", service, err)
	}
	return conn, nil
}

// Ask turns a connection to the agent's socket, on which nothing has been said, into one to
// a service in the guest.
func Ask(ctx context.Context, conn net.Conn, service string) error {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	err := ask(conn, service)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func ask(conn net.Conn, service string) error {
	if strings.ContainsAny(service, "\r\n") {
		return fmt.Errorf("%q is no service", service)
	}
	if _, err := io.WriteString(conn, DialPrefix+service+"\n"); err != nil {
		return err
	}
	// Byte by byte: what follows the line is the service's.
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := io.ReadFull(conn, b); err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrStopping
			}
			return err
		}
		if len(line) == dialLine {
			return breach("answers with more than a line of %d bytes", dialLine)
		}
	}
	answer := strings.TrimSuffix(string(line), "\n")
	if text, ok := strings.CutPrefix(answer, DialError); ok {
		return errors.New(said(text))
	}
	if answer != DialOK {
		return fmt.Errorf("the agent answers %q", answer)
	}
	return nil
}
