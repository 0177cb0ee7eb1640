//go:build !linux

package dockerapi

import (
	"context"
	"net"
)

// untilHangup knows of no hangup here: the end of a stream is seen in reading and writing.
func untilHangup(ctx context.Context, _ net.Conn) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
