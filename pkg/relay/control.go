package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Status is what a relay says of itself.
type Status struct {
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Connected reports whether there is a connection to the guest, Since from when on that is so.
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	// Error is why the agent is not reached now, with what to do about it in Hint.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Clients is how many are connected.
	Clients int64  `json:"clients"`
	Ports   []Port `json:"ports"`
}

// Port is a published port.
type Port struct {
	// Owner is the container and its network, as the agent names them.
	Owner    string `json:"owner"`
	Protocol string `json:"protocol"`
	// Host is where it listens, Target where connections go in the guest: ip:port.
	Host   string `json:"host"`
	Target string `json:"target"`
	// Error is why it does not listen.
	Error string `json:"error,omitempty"`
}

// The words of the control socket, each a line; the answer is one line of JSON, or the
// connection's end when the relay has ended.
const (
	wordStatus = "status"
	wordRules  = "rules"
	wordStop   = "stop"
)

// Query asks a relay's control socket for its state; ErrNotRunning when there is none.
func Query(ctx context.Context, socket string) (s Status, err error) {
	err = query(ctx, socket, wordStatus, &s)
	return s, err
}

// Rules are what a relay was started with.
type Rules struct {
	PortRules
	// SSHAgent reports whether the guest has the user's SSH agent.
	SSHAgent bool `json:"sshAgent"`
	// Docker reports whether it listens for clients of Docker's API.
	Docker bool `json:"docker"`
}

// QueryRules asks a relay's control socket for the rules it was started with; ErrNotRunning when there is
// none. One from before they could be asked for is an error.
func QueryRules(ctx context.Context, socket string) (r Rules, err error) {
	err = query(ctx, socket, wordRules, &r)
	return r, err
}

func query(ctx context.Context, socket, word string, into any) error {
	conn, err := ask(ctx, socket, word)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := json.NewDecoder(conn).Decode(into); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("asking the relay: %w", err)
	}
	return nil
}

// Stop ends the relay and waits until it has let go of everything; nil when there is none.
func Stop(ctx context.Context, socket string) error {
	conn, err := ask(ctx, socket, wordStop)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(io.Discard, conn)
	if ctx.Err() != nil {
		return fmt.Errorf("stopping the relay: %w", ctx.Err())
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("stopping the relay: %w", err)
	}
	return nil
}

// ask connects and says a word. The connection ends with ctx.
func ask(ctx context.Context, socket, word string) (net.Conn, error) {
	conn, err := host.DialUnix(ctx, socket)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to the relay: %w", err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	if _, err := io.WriteString(conn, word+"\n"); err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking the relay: %w", err)
	}
	return conn, nil
}

func (r *Relay) serveControl(ctx context.Context, conn net.Conn, asked *leaving, end context.CancelCauseFunc) {
	done := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	line, err := bufio.NewReader(conn).ReadString('\n')
	done()
	switch {
	case err == nil && line == wordStop+"\n":
		asked.add(conn)
		end(errAsked)
		return
	case err == nil && line == wordStatus+"\n":
		_ = json.NewEncoder(conn).Encode(r.status()) // the client that asked may be gone
	case err == nil && line == wordRules+"\n":
		_ = json.NewEncoder(conn).Encode(Rules{PortRules: r.ports.rules, SSHAgent: r.o.SSHAgent != "", Docker: r.o.DockerSocket != ""})
	}
	conn.Close()
}

var errAsked = errors.New("it was asked to")

func (r *Relay) status() Status {
	r.mu.Lock()
	s := Status{PID: os.Getpid(), Started: r.started, Connected: r.connected, Since: r.since, Clients: r.clients.Load()}
	if r.lastErr != nil {
		s.Error = r.lastErr.Error()
		s.Hint = hint.Of(r.lastErr)
	}
	r.mu.Unlock()
	s.Ports = r.ports.list()
	return s
}

// leaving holds the connections of those who wait for the relay's end.
type leaving struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (l *leaving) add(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conn)
}

func (l *leaving) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
}
