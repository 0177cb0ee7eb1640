package relay

import (
	"context"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver"
	"github.com/linnet-dev/linnet/pkg/relay/relaytest"
)

// limit bounds whatever a test waits for.
const limit = 20 * time.Second

// lab is a guest without a machine: an SSH server and an agent, in this process, and what a
// relay has to know of them.
type lab struct {
	t    testing.TB
	dir  string
	sshd *relaytest.SSHD
	Options
	relay *Relay // the last one that was started
	alive atomic.Bool
	// services are what the guest has besides echo.
	services map[string]string
}

func newLab(t testing.TB) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "ln-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.DebugLevel)
	l := &lab{t: t, dir: dir}
	l.alive.Store(true)
	l.sshd = relaytest.NewSSHD(t, dir)
	l.Options = Options{
		AgentSocket: filepath.Join(dir, "run", "agent.sock"), ControlSocket: filepath.Join(dir, "run", "relay.sock"),
		Lock: filepath.Join(dir, "run", "relay.lock"), HostKey: l.sshd.HostKey,
		GuestSocket: filepath.Join(dir, "guest.sock"),
		Target: func(context.Context) (Target, error) {
			return Target{Address: l.sshd.Addr, User: "me", Key: l.sshd.Key}, nil
		},
		Alive: l.alive.Load,
		Log:   log, Stock: 3, Poll: 10 * time.Millisecond,
	}
	return l
}

// start runs a relay until the test ends; ended receives what Run returned.
func (l *lab) start() (ended <-chan error) {
	l.t.Helper()
	r, err := New(l.Options)
	if err != nil {
		l.t.Fatal(err)
	}
	l.relay = r
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	done := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		defer close(done)
		result <- r.Run(ctx)
	}()
	l.t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(limit):
			l.t.Error("the relay does not end")
		}
	})
	l.until("the relay listens", func() bool {
		_, err := Query(l.t.Context(), l.ControlSocket)
		return err == nil || len(result) > 0
	})
	return result
}

// until polls: what is waited for happens in a process that does not report it.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			l.t.Fatalf("not so after %v: %s", limit, what)
		}
	}
}

func (l *lab) status() Status {
	l.t.Helper()
	s, err := Query(l.t.Context(), l.ControlSocket)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// client connects to the relay.
func (l *lab) client() *net.UnixConn {
	l.t.Helper()
	conn, err := net.Dial("unix", l.AgentSocket)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn)
}

// guestAgent is the agent in the guest.
type guestAgent struct {
	ports *agentserver.Ports
	stop  func()
	// opened counts the connections that were made to it.
	opened atomic.Int64
}

// agent serves the real far side on the guest's socket until stopped.
func (l *lab) agent() *guestAgent {
	l.t.Helper()
	stages := filepath.Join(l.dir, "stages")
	services := map[string]string{"echo": l.echo()}
	maps.Copy(services, l.services)
	server, err := agentserver.New(context.WithoutCancel(l.t.Context()), agentserver.Options{
		Env: os.Environ(), Dir: l.dir, Stages: stages, Socket: l.GuestSocket,
		Services: services, Log: l.Log,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	_ = os.Remove(l.GuestSocket)
	listener, err := net.Listen("unix", l.GuestSocket)
	if err != nil {
		l.t.Fatal(err)
	}
	a := &guestAgent{ports: agentserver.NewPorts(l.t.Context(), filepath.Join(l.dir, "ports"), nil, l.Log)}
	g := grpc.NewServer(agentserver.ServerOptions()...)
	server.Register(g)
	agentpb.RegisterPortsServer(g, a.ports)
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(ctx, &counting{listener, &a.opened}, g); err != nil {
			l.t.Error(err)
		}
	}()
	a.stop = sync.OnceFunc(func() {
		cancel()
		g.Stop()
		listener.Close()
		<-served
	})
	l.t.Cleanup(a.stop)
	return a
}

// counting is a listener that counts.
type counting struct {
	net.Listener
	n *atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// echo is a service in the guest that answers with what it got once that has ended.
func (l *lab) echo() (socket string) {
	l.t.Helper()
	socket = filepath.Join(l.dir, "echo.sock")
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { listener.Close() })
	go echoAtEnd(listener)
	return socket
}

func echoAtEnd(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if all, err := io.ReadAll(conn); err == nil {
				_, _ = conn.Write(all)
			}
		}()
	}
}
