package agentserver

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
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
	for _, service := range []string{"echo", "tcp:" + tcp.Addr().String(), "framed:echo", "framed:tcp:" + tcp.Addr().String()} {
		conn, err := c.Dial(t.Context(), service)
		if err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		both := conn.(interface {
			io.Reader
			agent.Ending
		})
		if strings.HasPrefix(service, agent.FramedPrefix) {
			both = agent.NewFramed(conn, both)
		}
		go func() {
			_, _ = io.WriteString(both, text)
			_ = both.CloseWrite()
		}()
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			t.Error(err)
		}
		got, err := io.ReadAll(both)
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

// cut is a server that takes a word, gives half an answer, and resets the connection then.
func cut(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
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
				_, _ = io.ReadFull(conn, make([]byte, 4))
				_, _ = io.WriteString(conn, "half an answer")
				agent.Reset(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// framed dials a service so that an end can be told from a cut.
func framed(t *testing.T, l *lab, service string) (*agent.Framed, net.Conn) {
	t.Helper()
	conn, err := l.client(t).Dial(t.Context(), agent.FramedPrefix+service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return agent.NewFramed(conn, conn.(agent.Ending)), conn
}

func TestAResetIsNoEnd(t *testing.T) {
	l := newLab(t, nil)
	server := "tcp:" + cut(t)
	for i := range 50 {
		f, _ := framed(t, l, server)
		_, _ = io.WriteString(f, "word")
		if i%2 == 0 {
			_ = f.CloseWrite()
		}
		if got, err := io.ReadAll(f); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "half an answer" {
			t.Errorf("reading gives %q, %v", got, err)
		}
		// One that goes on sending meets it first.
		f, _ = framed(t, l, server)
		go func() { _, _ = io.Copy(f, zeros{}) }()
		if _, err := io.ReadAll(f); err == nil {
			t.Error("of one that sends, reading gives an end")
		}
	}
}

func TestAClientThatIsCutIsResetOverThere(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ends := make(chan error, 1)
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			_, err = io.Copy(io.Discard, conn)
			ends <- err
			conn.Close()
		}
	}()
	l := newLab(t, nil)
	f, conn := framed(t, l, "tcp:"+server.Addr().String())
	_, _ = io.WriteString(f, "half a question")
	conn.Close()
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a cut is seen as %v", err)
	}
	f, _ = framed(t, l, "tcp:"+server.Addr().String())
	_, _ = io.WriteString(f, "a whole question")
	if err := f.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-ends; err != nil {
		t.Errorf("an end is seen as %v", err)
	}
	if got, err := io.ReadAll(f); err != nil || len(got) > 0 {
		t.Errorf("its end comes back as %q, %v", got, err)
	}
}
