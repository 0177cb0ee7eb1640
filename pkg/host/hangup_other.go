//go:build !linux

package host

import (
	"context"
	"net"
)

// UntilHangup knows of no hangup here: the end of a stream is seen in reading and writing.
func UntilHangup(ctx context.Context, _ net.Conn) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
