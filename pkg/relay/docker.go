package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
)

// dockerService is the agent's name for what clients of Docker's API are connected to (guest.Docker).
const dockerService = "docker"

// dockerPatience is how long a client waits for an engine that is just starting, beyond the guest itself.
const dockerPatience = time.Minute

var errServed = errors.New("another engine of this home listens there")

// listenForDocker has clients of Docker's API on this host reach the guest's, until ctx ends. What is in the way is told once, and tried
// again: the machine is of use without.
func (r *Relay) listenForDocker(ctx context.Context) {
	path := r.o.DockerSocket
	if path == "" {
		return
	}
	pause := newPause(100*time.Millisecond, retryInterval)
	known := ""
	for ctx.Err() == nil {
		l, err := listenAlone(ctx, path)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { l.Close() })
			accept(ctx, l, r.o.Log, r.serveDocker)
			stop()
			l.Close()
			return
		}
		if known != err.Error() {
			known = err.Error()
			r.o.Log.WithError(err).Warn("not listening for clients of Docker's API")
		}
		pause.wait(ctx)
	}
}

// listenAlone makes a socket where no process listens. The relay's lock says nothing of this one: natively it is the agent's.
func listenAlone(ctx context.Context, path string) (net.Listener, error) {
	if host.Listens(path) {
		return nil, fmt.Errorf("listening on %s: %w", path, errServed)
	}
	return listen(ctx, path)
}

// serveDocker passes a client on once it speaks, as serveClient does. A cut crosses as a cut: an output that ends early is not taken for a
// whole one.
func (r *Relay) serveDocker(ctx context.Context, conn net.Conn) {
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
	s, through, err := r.dialDocker(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.o.Log.WithError(err).Warn("passing on a client of Docker's API")
		}
		agent.Reset(conn)
		return
	}
	// A client that is gone has not only ended its half: what it attached to ends, too, in the guest.
	there, done := host.UntilHangup(ctx, unix)
	defer done()
	spare := context.AfterFunc(there, func() { s.Close() })
	defer spare()
	splice(ctx, &answered{spoken{UnixConn: unix, said: said[:n]}, spare}, s, through)
}

// answered is a client that is no longer watched once it has its whole answer: that it has ended its half, too, looks as if it were gone, and
// what it has sent may still be on the way.
type answered struct {
	spoken
	spare func() bool
}

func (a *answered) CloseWrite() error {
	a.spare()
	return a.spoken.CloseWrite()
}

// dialDocker connects to the guest's door, which is there as soon as its engine is made.
func (r *Relay) dialDocker(ctx context.Context) (*stream, through, error) {
	pause := newPause(50*time.Millisecond, time.Second)
	for began := time.Now(); ; {
		s, through, err := r.ports.dialFramed(ctx, dockerService)
		if err == nil || ctx.Err() != nil || time.Since(began) > dockerPatience {
			return s, through, err
		}
		pause.wait(ctx)
	}
}
