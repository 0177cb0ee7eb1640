//go:build e2e

package agent_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/agent"
)

// In a guest the agent's socket is the client's user's. Root there reaches it all the same: the credential helper and the stop
// before the machine powers off. Only root can give a socket away: make test-unit runs it.
func TestRootInTheGuestReachesTheAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chown(socket, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if c, err := agent.Dial(t.Context(), socket); err == nil {
		c.Close()
		t.Error("a client of this host goes by another user's socket")
	}
	c, err := agent.DialInGuest(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
