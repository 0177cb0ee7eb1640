package farside

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// echo answers each connection with what it said, once that has ended, and a full stop.
func echo(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				text, _ := io.ReadAll(conn)
				_, _ = conn.Write(append(text, '.'))
			}()
		}
	}()
	return l
}

func TestEachWayOfADialEndsByItself(t *testing.T) {
	dir := t.TempDir()
	tcp := echo(t, "tcp", "127.0.0.1:0")
	l := newLab(t, func(o *Options) {
		o.Services = map[string]string{"echo": filepath.Join(filepath.Dir(o.Socket), "echo.sock"), "gone": dir + "/none"}
		echo(t, "unix", o.Services["echo"])
	})
	c := l.client(t)
	text := strings.Repeat("all of it\x00", 1<<20)
	for _, service := range []string{"echo", "tcp:" + tcp.Addr().String()} {
		conn, err := c.Dial(t.Context(), service)
		if err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		go func() {
			_, _ = io.WriteString(conn, text)
			_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			t.Error(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != text+"." {
			t.Errorf("%s: %d bytes of %d came back, %v", service, len(got), len(text)+1, err)
		}
		conn.Close()
	}
	for service, want := range map[string]string{
		"none":           `connecting to none: the engine has no service "none"`,
		"gone":           "connecting to gone: dial unix " + dir + "/none: connect: no such file or directory",
		"tcp:127.0.0.1:": "connecting to tcp:127.0.0.1:: dial tcp 127.0.0.1:0: connect: connection refused",
		"two\nlines":     "connecting to two\nlines: \"two\\nlines\" is no service",
	} {
		if _, err := c.Dial(t.Context(), service); err == nil || err.Error() != want {
			t.Errorf("%s: %v", service, err)
		}
	}
}

func TestAConnectionMayBeSilentAndMustMakeSense(t *testing.T) {
	l := newLab(t, func(o *Options) {
		o.Services = map[string]string{"echo": filepath.Join(filepath.Dir(o.Socket), "echo.sock")}
		echo(t, "unix", o.Services["echo"])
	})
	dial := func() *net.UnixConn {
		conn, err := net.Dial("unix", l.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(limit))
		return conn.(*net.UnixConn)
	}
	silent := dial()
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "LINNET\n", "LINNET dial echo\n", "P\n\n\n", strings.Repeat("LINNET DIAL", 1000)} {
		conn := dial()
		_, _ = io.WriteString(conn, text)
		if got, _ := io.ReadAll(conn); len(got) > 0 { // a reset is an end too
			t.Errorf("%.20q is answered with %q", text, got)
		}
	}
	// In pieces, with the first bytes for the service right behind.
	for _, piece := range []string{"L", "INN", "ET DIAL ec", "ho\nearly "} {
		_, _ = io.WriteString(silent, piece)
	}
	_, _ = io.WriteString(silent, "late")
	_ = silent.CloseWrite()
	if got, err := io.ReadAll(silent); err != nil || string(got) != "OK\nearly late." {
		t.Errorf("got %q, %v", got, err)
	}
}
