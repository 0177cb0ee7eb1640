package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/linnet-dev/linnet/pkg/agent"
)

func TestOneRelayAtATime(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.start()
	if err := <-l.start(); !errors.Is(err, ErrRunning) {
		t.Errorf("the second one ends with %v", err)
	}
	l.speaks()
}

func TestItEndsWithTheMachine(t *testing.T) {
	l := newLab(t)
	l.agent()
	ended := l.start()
	l.speaks()
	open := l.client()
	if err := agent.Ask(t.Context(), open, "echo"); err != nil {
		t.Fatal(err)
	}
	l.alive.Store(false)
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if n, err := open.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a client reads %d, %v", n, err)
	}
	for _, path := range []string{l.AgentSocket, l.ControlSocket} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}

func TestClientsDoNotWaitForAMachineThatIsGone(t *testing.T) {
	l := newLab(t)
	l.sshd.Greeting(func(net.Conn) bool { return false })
	ended := l.start()
	conn := l.client()
	if _, err := io.WriteString(conn, agent.DialPrefix); err != nil {
		t.Fatal(err)
	}
	l.alive.Store(false)
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a client reads %d, %v", n, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestStopReturnsWhenAnotherOneCanStart(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.start()
	l.speaks()
	if err := Stop(t.Context(), l.ControlSocket); err != nil {
		t.Fatal(err)
	}
	if _, err := Query(t.Context(), l.ControlSocket); !errors.Is(err, ErrNotRunning) {
		t.Errorf("asking one that ended: %v", err)
	}
	if err := Stop(t.Context(), l.ControlSocket); err != nil {
		t.Errorf("stopping once more: %v", err)
	}
	l.start()
	l.speaks()
}

func TestWhatLiesInTheWayIsStale(t *testing.T) {
	l := newLab(t)
	l.agent()
	l.start()
	if err := Stop(t.Context(), l.ControlSocket); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{l.AgentSocket, l.ControlSocket} {
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
	}
	l.start()
	l.speaks()
}

// No key is believed because it is the first one: not by a relay that knows none, and not after the
// guest has changed its own.
func TestTheGuestIsKnownBeforeTheFirstConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	l := newLab(t)
	known, err := os.ReadFile(l.HostKey)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, reason string) {
		t.Helper()
		l.until(what+" is refused", func() bool { return strings.Contains(l.status().Error, reason) })
		if s := l.status(); s.Connected || s.Hint != "linnet vm restart: each start of the virtual machine has a new key" {
			t.Errorf("%s: connected %v, the error is %q, the hint %q", what, s.Connected, s.Error, s.Hint)
		}
		if _, logins := l.sshd.Count(); logins > 0 {
			t.Errorf("%s: %d log-ins", what, logins)
		}
	}
	if err := os.Remove(l.HostKey); err != nil {
		t.Fatal(err)
	}
	l.agent()
	l.start()
	refused("a guest of which no key is known", "reading the guest's host key: "+l.HostKey+": no such file or directory")
	if err := os.WriteFile(l.HostKey, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a file without a key", "reading the guest's host key: "+l.HostKey+": ssh: no key found")
	right := l.sshd.NewHostKey()
	if err := os.WriteFile(l.HostKey, known, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("another guest", "logging in to the guest: ssh: handshake failed: the guest's host key is "+ssh.FingerprintSHA256(right.PublicKey())+" and not SHA256:")
	if err := os.WriteFile(l.HostKey, ssh.MarshalAuthorizedKey(right.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	l.speaks()
}
