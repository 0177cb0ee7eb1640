package relay

import (
	"io"
	"net"
	"testing"
)

// A client that is killed while it is attached closes its socket, and says nothing.
func TestTheEndOfDockersClientEndsTheGuestsSide(t *testing.T) {
	l := newLab(t)
	there, gone := make(chan struct{}), make(chan struct{})
	l.door(func(conn *net.UnixConn) {
		_, _ = io.ReadFull(conn, make([]byte, 5))
		close(there)
		_, _ = io.Copy(io.Discard, conn) // its half, which ends in any case
		for {
			if _, err := conn.Write([]byte(".")); err != nil {
				close(gone)
				return
			}
		}
	})
	l.agent()
	l.start()
	conn := l.dockerClient()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	<-there
	conn.Close()
	<-gone
}
