package relay

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// A client that is killed while it is attached closes its socket, and says nothing; the other side may have nothing to say, either.
func TestTheEndOfDockersClientEndsTheGuestsSide(t *testing.T) {
	l := newLab(t)
	there, gone := make(chan struct{}), make(chan struct{})
	l.door(func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 5))
		close(there)
		hangup, stop := host.UntilHangup(t.Context(), conn)
		defer stop()
		<-hangup.Done()
		close(gone)
	})
	l.agent()
	l.start()
	conn := l.dockerClient()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	<-there
	conn.Close()
	select {
	case <-gone:
	case <-time.After(limit):
		t.Error("it is still there")
	}
}
