package relay

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// lend has a relay lend an agent that says every word again.
func (l *lab) lend() (inGuest string) {
	l.t.Helper()
	l.SSHAgent, inGuest = filepath.Join(l.dir, "ssh-agent"), filepath.Join(l.dir, "lent")
	l.sshd.Sockets = map[string]string{SSHAgentPath: inGuest}
	agent, err := net.Listen("unix", l.SSHAgent)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { agent.Close() })
	go func() {
		for {
			conn, err := agent.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return inGuest
}

// sign speaks with the agent as a container does.
func sign(inGuest string) error {
	conn, err := net.Dial("unix", inGuest)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	challenge, answer := bytes.Repeat([]byte("sign this "), 1000), make([]byte, 10_000)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = conn.Write(challenge) })
	_, err = io.ReadFull(conn, answer)
	wg.Wait()
	if err == nil && !bytes.Equal(challenge, answer) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func TestTheGuestReachesTheSSHAgent(t *testing.T) {
	l := newLab(t)
	l.agent()
	inGuest := l.lend()
	l.start()
	l.until("the agent answers in the guest", func() bool { return sign(inGuest) == nil })
	var wg sync.WaitGroup
	for range agentUsers {
		wg.Go(func() {
			if err := sign(inGuest); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l.sshd.Kill()
	l.until("it answers again after the connection broke", func() bool { return sign(inGuest) == nil })
	if rules, err := QueryRules(t.Context(), l.ControlSocket); err != nil || !rules.SSHAgent {
		t.Errorf("the relay's rules: %+v, %v", rules, err)
	}
}

// A guest chooses no number: who comes when all places are taken is turned away, and the others go on.
func TestTheSSHAgentHasAsManyUsersAsItIsGiven(t *testing.T) {
	l := newLab(t)
	l.agent()
	inGuest := l.lend()
	l.start()
	l.until("the agent answers in the guest", func() bool { return sign(inGuest) == nil })
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			conn.Close()
		}
	}()
	word := make([]byte, 1)
	for range agentUsers {
		conn, err := net.Dial("unix", inGuest)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		_ = conn.SetDeadline(time.Now().Add(limit))
		if _, err := conn.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, word); err != nil {
			t.Fatal(err)
		}
	}
	if err := sign(inGuest); err == nil {
		t.Error("one too many was served")
	}
	held[0].Close()
	l.until("a place is free again", func() bool { return sign(inGuest) == nil })
}

func TestWithoutLeaveTheGuestHasNoSSHAgent(t *testing.T) {
	l := newLab(t)
	l.agent()
	inGuest := l.lend()
	l.SSHAgent = ""
	l.start()
	l.speaks()
	if err := sign(inGuest); err == nil {
		t.Error("the guest has one")
	}
}
