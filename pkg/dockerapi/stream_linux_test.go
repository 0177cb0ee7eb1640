package dockerapi

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// The daemon learns of it though it neither reads nor writes: it watches for the same hangup (daemon/server/router/container/notify_linux.go in moby).
func TestAClientThatDiesInAnAttachEndsTheDaemonsSide(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		size int // of what the client has sent, and the daemon does not read
	}{"idle": {attachHead, 0}, "older": {olderHead, 0}, "exec": {execHead, 10}, "blocked": {attachHead, 5 << 20}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one of them lasts drainTime
			attached, ended := make(chan bool), make(chan bool)
			w := newWorld(t, hijacked(t, func(conn *net.UnixConn, r *http.Request) {
				gone, stop := host.UntilHangup(r.Context(), conn)
				defer stop()
				attached <- true
				<-gone.Done()
				ended <- true
			}), nil)
			conn := w.dial(t)
			_, _ = io.WriteString(conn, c.head)
			<-attached
			_, _ = readHead(t, conn)
			wrote := make(chan bool)
			go func() {
				defer close(wrote)
				_, _ = conn.Write(make([]byte, c.size))
			}()
			if c.size < 1<<20 {
				<-wrote
			}
			conn.Close()
			<-ended
			<-wrote
			w.inFlightIs(t, 0)
		})
	}
}

func TestADaemonThatDiesInAnAttachEndsTheClientsSide(t *testing.T) {
	for _, head := range []string{attachHead, olderHead} {
		w := newWorld(t, hijacked(t, func(conn *net.UnixConn, _ *http.Request) {
			_, _ = io.ReadFull(conn, make([]byte, 5))
		}), nil)
		conn := w.dial(t)
		_, _ = io.WriteString(conn, head)
		_, rest := readHead(t, conn)
		_, _ = io.WriteString(conn, "hello")
		if got, err := io.ReadAll(rest); err != nil || len(got) > 0 {
			t.Errorf("%q, %v", got, err)
		}
		w.inFlightIs(t, 0) // without a word of the client's
	}
}

func TestAClientThatDiesBeforeTheDaemonAnswersAnAttach(t *testing.T) {
	attached, ended := make(chan bool), make(chan bool)
	w := newWorld(t, func(_ http.ResponseWriter, r *http.Request) {
		attached <- true
		<-r.Context().Done()
		ended <- true
	}, nil)
	conn := w.dial(t)
	_, _ = io.WriteString(conn, attachHead)
	<-attached
	conn.Close()
	<-ended
}

func TestAHalfCloseIsNoHangup(t *testing.T) {
	w := newWorld(t, hijacked(t, func(conn *net.UnixConn, r *http.Request) {
		_, _ = io.ReadAll(conn)
		gone, stop := host.UntilHangup(r.Context(), conn)
		defer stop()
		select {
		case <-gone.Done():
			t.Error("the client has only half-closed")
		default:
		}
		_, _ = io.WriteString(conn, "still here")
	}), nil)
	conn := w.dial(t)
	_, _ = io.WriteString(conn, attachHead)
	_, rest := readHead(t, conn)
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(rest); err != nil || string(got) != "still here" {
		t.Errorf("%q, %v", got, err)
	}
}
