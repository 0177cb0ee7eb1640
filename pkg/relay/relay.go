// Package relay is the host's end of the channel into a virtual machine: a small process
// that holds one SSH connection to the guest for as long as the machine lives, hands a ready
// stream to the agent in the guest to each client, and listens on the host for the ports that
// containers publish.
//
// It splices bytes: it must not know what crosses, how the machine is made or started, nor
// anything of what stands above the agent's socket.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/host"
)

// ErrRunning says that another relay holds the lock, ErrNotRunning that none answers.
var (
	ErrRunning    = errors.New("another relay is running")
	ErrNotRunning = errors.New("no relay is running")
)

// Target is the guest's SSH server and how to log in there.
type Target struct {
	// Address is host:port on this host.
	Address string
	User    string
	// Key is the file of a private key without a passphrase.
	Key string
}

// Options is all that a relay has to know. What is zero takes a default where one is named.
type Options struct {
	// AgentSocket is where clients connect, ControlSocket where Query and Stop do; both are
	// made with mode 0600, their directory with 0700.
	AgentSocket, ControlSocket string
	// Lock is held for the relay's life.
	Lock string
	// HostKey is the file of the guest's public key, as in authorized_keys of sshd(8): the only one
	// that is believed. It is read for each connection.
	HostKey string
	// GuestSocket is the agent's socket in the guest.
	GuestSocket string
	// Target is asked before each attempt. An error means "not yet".
	Target func(ctx context.Context) (Target, error)
	// Alive reports whether the machine runs or is being started. Once it does not, Run ends.
	Alive func() bool
	// Up reports whether the guest has told that its network is up; it is asked often while the
	// guest is not reached. Without it, sshd is found later.
	Up func() bool
	// Ciphers in order of preference; by default the fastest with instructions for AES. See
	// CiphersEmulated.
	Ciphers []string
	Log     logrus.FieldLogger
	// Stock is how many streams are kept open in advance, by default 8.
	Stock int
	// Keepalive is how often the guest is asked whether it still answers, by default 5 s;
	// Patience is how long it may take, by default 20 s.
	Keepalive, Patience time.Duration
	// Poll is how often Alive is asked, by default 1 s.
	Poll time.Duration
	// Ports are what the guest may have listen on this host.
	Ports PortRules
	// SSHAgent is the socket of the user's SSH agent, which the guest then has at SSHAgentPath; empty: it has none.
	SSHAgent string
	// DockerSocket is where clients of Docker's API connect, made as AgentSocket is, but that its directory is there. Empty: nowhere.
	DockerSocket string
}

// Relay is one; New makes it, Run is its life.
type Relay struct {
	o       Options
	started time.Time
	// handout is where open streams wait for the client that takes one.
	handout chan *stream
	ports   *ports
	clients atomic.Int64
	// retrying is held by the one that looks whether the agent is back.
	retrying chan struct{}

	mu        sync.Mutex
	connected bool
	since     time.Time
	lastErr   error
}

// New checks the options.
func New(o Options) (*Relay, error) {
	if o.Target == nil || o.Alive == nil || o.Log == nil {
		return nil, errors.New("making a relay: Target, Alive and Log must be given")
	}
	for _, path := range []string{o.AgentSocket, o.ControlSocket, o.Lock, o.HostKey, o.GuestSocket} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("making a relay: %q is not an absolute path", path)
		}
	}
	o.Stock = orElse(o.Stock, 8)
	o.Keepalive = orElse(o.Keepalive, 5*time.Second)
	o.Patience = orElse(o.Patience, 20*time.Second)
	o.Poll = orElse(o.Poll, time.Second)
	if o.Ciphers == nil {
		o.Ciphers = CiphersHardware
	}
	r := &Relay{o: o, started: time.Now(), since: time.Now(), handout: make(chan *stream), retrying: make(chan struct{}, 1)}
	r.ports = newPorts(o.Log, o.Ports, r.take)
	return r, nil
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Run relays until ctx ends, Stop is asked for, or the machine is gone. ErrRunning when
// another relay does it already.
func (r *Relay) Run(ctx context.Context) error {
	for _, path := range []string{r.o.AgentSocket, r.o.ControlSocket, r.o.Lock} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("starting the relay: %w", err)
		}
	}
	lock, err := host.TryLock(r.o.Lock)
	if errors.Is(err, host.ErrLocked) {
		return ErrRunning
	}
	if err != nil {
		return fmt.Errorf("starting the relay: %w", err)
	}
	// The process that asked for the end waits until the lock is free.
	var asked leaving
	defer asked.close()
	defer lock.Close()
	return r.run(ctx, &asked)
}

func (r *Relay) run(ctx context.Context, asked *leaving) error {
	agent, err := listen(ctx, r.o.AgentSocket)
	if err != nil {
		return err
	}
	defer agent.Close()
	control, err := listen(ctx, r.o.ControlSocket)
	if err != nil {
		return err
	}
	defer control.Close()
	r.o.Log.WithField("pid", os.Getpid()).WithField("socket", r.o.AgentSocket).Info("relay starts")
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel(nil)
		agent.Close()
		control.Close()
		wg.Wait()
		r.ports.close()
		r.o.Log.WithField("cause", context.Cause(ctx)).Info("relay ends")
	}()
	wg.Go(func() { r.watchMachine(ctx, cancel) })
	wg.Go(func() { accept(ctx, agent, r.o.Log, r.serveClient) })
	wg.Go(func() { r.ports.attend(ctx) })
	wg.Go(func() { r.listenForDocker(ctx) })
	wg.Go(func() {
		accept(ctx, control, r.o.Log, func(ctx context.Context, conn net.Conn) { r.serveControl(ctx, conn, asked, cancel) })
	})
	r.hold(ctx)
	return nil
}

// errMachineGone is why a relay ends by itself.
var errMachineGone = errors.New("the virtual machine is gone")

func (r *Relay) watchMachine(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(r.o.Poll)
	defer tick.Stop()
	for r.o.Alive() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	end(errMachineGone)
}

// hold keeps a connection to the guest until ctx ends.
func (r *Relay) hold(ctx context.Context) {
	pause := newPause(100*time.Millisecond, 2*time.Second)
	for {
		l := r.dial(ctx)
		if l == nil {
			return
		}
		began := time.Now()
		r.setState(true, nil)
		err := r.use(ctx, l)
		if ctx.Err() != nil {
			return
		}
		r.o.Log.WithError(err).Warn("the connection to the guest is lost")
		r.setState(false, err)
		if time.Since(began) > 5*time.Second {
			pause.reset()
			continue // at once: clients wait
		}
		pause.wait(ctx)
	}
}

func (r *Relay) setState(connected bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connected != connected {
		r.connected, r.since = connected, time.Now()
	}
	r.lastErr = err
}

// complain remembers why there is no stream, and logs what is new.
func (r *Relay) complain(err error) {
	r.mu.Lock()
	known := r.lastErr != nil && r.lastErr.Error() == err.Error()
	r.lastErr = err
	r.mu.Unlock()
	if !known {
		r.o.Log.WithError(err).Info("not reaching the agent yet")
	}
}

// reached forgets what complain remembers.
func (r *Relay) reached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastErr = nil
}

// serveClient passes a client on once it speaks, which all do first: one that only looks whether
// the relay listens costs no stream.
func (r *Relay) serveClient(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return
	}
	said := make([]byte, packet)
	gone := context.AfterFunc(ctx, func() { conn.Close() })
	n, err := conn.Read(said)
	gone()
	if err != nil {
		return
	}
	r.clients.Add(1)
	defer r.clients.Add(-1)
	s, err := r.take(ctx)
	if err != nil {
		return // the relay ends, and the client's connection with it
	}
	splice(ctx, &spoken{UnixConn: unix, said: said[:n]}, s, s)
}

// spoken is a connection of which something was read already.
type spoken struct {
	*net.UnixConn
	said []byte
}

func (s *spoken) Read(p []byte) (int, error) {
	if len(s.said) > 0 {
		n := copy(p, s.said)
		s.said = s.said[n:]
		return n, nil
	}
	return s.UnixConn.Read(p)
}

// take waits for an open stream to the agent.
func (r *Relay) take(ctx context.Context) (*stream, error) {
	for {
		select {
		case s := <-r.handout:
			if s.link.lost() || s.spokeFirst() {
				s.Close() // it ended while it was handed out
				continue
			}
			return s, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// listen makes a socket that its owner alone may use. The lock is held: what lies there is
// stale.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale socket: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return listener, nil
}

// accept serves each connection until the listener is closed, and returns when all are done.
// What was accepted is closed when ctx ends.
func accept(ctx context.Context, l net.Listener, log logrus.FieldLogger, serve func(context.Context, net.Conn)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	pause := newPause(5*time.Millisecond, time.Second)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil { // too many open files, say
			log.WithError(err).Warn("accepting a connection")
			pause.wait(ctx)
			continue
		}
		pause.reset()
		wg.Go(func() { serve(ctx, conn) })
	}
}

// pause grows from one wait to the next.
type pause struct{ first, most, next time.Duration }

func newPause(first, most time.Duration) *pause {
	return &pause{first: first, most: most, next: first}
}

func (p *pause) reset() { p.next = p.first }

func (p *pause) wait(ctx context.Context) {
	timer := time.NewTimer(p.next)
	defer timer.Stop()
	p.next = min(2*p.next, p.most)
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
