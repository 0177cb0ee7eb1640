package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/linnet-dev/linnet/pkg/host"
)

// SSHAgentPath is where the guest has the user's SSH agent, by Docker Desktop's name for it.
const SSHAgentPath = "/run/host-services/ssh-auth.sock"

// agentUsers is how many may speak with the SSH agent at once; more are turned away.
const agentUsers = 64

// lendAgent listens in the guest, for as long as the link is used, for those who want the user's SSH agent. The guest's sshd makes
// the socket (streamlocal-forward in PROTOCOL of OpenSSH), so that it goes with the connection.
func (r *Relay) lendAgent(ctx context.Context, l *link) {
	listener, err := l.client.ListenUnix(SSHAgentPath)
	if err != nil {
		r.o.Log.WithError(err).Warn("the SSH agent is not lent to the guest")
		return
	}
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, agentUsers)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		select {
		case free <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-free }()
			if err := speakWith(ctx, r.o.SSHAgent, conn); err != nil {
				r.o.Log.WithError(err).Warn("lending the SSH agent")
			}
		})
	}
}

// speakWith connects a user in the guest with the agent until either ends.
func speakWith(ctx context.Context, agent string, user net.Conn) error {
	defer user.Close()
	conn, err := host.DialUnix(ctx, agent)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", agent, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() {
		user.Close()
		conn.Close()
	})()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(conn, user)
		conn.Close()
	})
	_, _ = io.Copy(user, conn)
	user.Close()
	wg.Wait()
	return nil
}
