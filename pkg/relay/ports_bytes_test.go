package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
)

func TestAConnectionWhoseStreamIsLostGetsAnother(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	l := newLab(t)
	a := l.agent()
	l.start()
	p := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), container(t))
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		l.sshd.Kill() // and what is in stock may be handed out before anybody knows
		if err := echoes(t, at(p)); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatNoProcessListensOnResetsTheConnection(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	p := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(freePort(t, "tcp4", "127.0.0.1"))})
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", at(p))
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connecting and reading: %v", err)
	}
}

func TestAnAnswerCutShortIsReset(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "half an answer")
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	p := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), server.Addr())
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", at(p))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('r'); err != nil {
		t.Fatal(err)
	}
	l.sshd.Kill()
	if _, err := r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("when the guest is lost, reading gives %v", err)
	}
}

// A container's reset is the client's: what it got is not the whole. An end is an end.
func TestAResetCrosses(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			how := make([]byte, 1)
			_, _ = io.ReadFull(conn, how)
			_, _ = io.WriteString(conn, "an answer")
			if how[0] == 'r' {
				agent.Reset(conn)
			} else {
				conn.Close()
			}
		}
	}()
	p := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), server.Addr())
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	for how, want := range map[string]error{"reset": syscall.ECONNRESET, "end": nil} {
		conn, err := net.Dial("tcp4", at(p))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, how[:1])
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); !errors.Is(err, want) {
			t.Errorf("%s: reading gives %v", how, err)
		}
	}
}

// An agent of before knows no frames, and is asked without.
func TestAnAgentThatCannotFrameIsAskedWithout(t *testing.T) {
	l := newLab(t)
	listener, err := net.Listen("unix", l.GuestSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	asked := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				line, err := r.ReadString('\n')
				service, ok := strings.CutPrefix(strings.TrimSpace(line), agent.DialPrefix)
				if err != nil || !ok {
					return
				}
				asked <- service
				if service != "tcp:container" {
					fmt.Fprintf(conn, "%sthe engine has no service %q\n", agent.DialError, service)
					return
				}
				fmt.Fprintln(conn, agent.DialOK)
				_, _ = io.Copy(conn, r)
			}()
		}
	}()
	l.start()
	for range 2 {
		near, conn := net.Pipe()
		go l.relay.ports.pass(t.Context(), conn, "tcp:container")
		_, _ = io.WriteString(near, "hello")
		got := make([]byte, 5)
		if _, err := io.ReadFull(near, got); err != nil || string(got) != "hello" {
			t.Errorf("it answers %q, %v", got, err)
		}
		near.Close()
	}
	if got := []string{<-asked, <-asked, <-asked}; got[0] != "framed:tcp:container" || got[1] != "tcp:container" || got[2] != "tcp:container" {
		t.Errorf("it was asked for %q", got)
	}
}

func TestDatagramsPassBothWaysForEachClient(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo([]byte(strings.ToUpper(string(buf[:n]))), from)
		}
	}()
	l := newLab(t)
	a := l.agent()
	l.start()
	p := port("udp", "127.0.0.1", freePort(t, "udp4", "127.0.0.1"), server.LocalAddr())
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("large", 10_000)
	for _, said := range []string{"one", "", large} {
		conn, err := net.Dial("udp4", at(p))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1<<16)
		for range 2 {
			if _, err := io.WriteString(conn, said); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(buf)
			if err != nil || string(buf[:n]) != strings.ToUpper(said) {
				t.Errorf("%d bytes: got %d, %v", len(said), n, err)
			}
		}
	}
	a.release(t, "a/b/e")
	l.until("it is closed", func() bool {
		c, err := net.ListenPacket("udp4", at(p))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func TestAnIdleConnectionToAContainerEndsWithTheRelay(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	p := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), container(t))
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", at(p))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := Stop(ctx, l.ControlSocket); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("it goes on")
	}
	if !refused(at(p)) {
		t.Error("the port is open")
	}
}
