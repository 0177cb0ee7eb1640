package agentserver

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// processes are owners that begin with "p": each lives until its channel is closed.
type processes map[string]chan struct{}

func (p processes) watch(ctx context.Context, owner string) <-chan struct{} {
	if !strings.HasPrefix(owner, "p") {
		return nil
	}
	ended := make(chan struct{})
	life, ok := p[owner]
	if !ok {
		close(ended)
		return ended
	}
	select {
	case <-life:
		close(ended)
		return ended
	default:
	}
	go func() {
		defer close(ended)
		select {
		case <-life:
		case <-ctx.Done():
		}
	}()
	return ended
}

func claimFor(owner, ip string, port uint32, target string) *agentpb.ClaimRequest {
	return &agentpb.ClaimRequest{Owner: owner, Ports: []*agentpb.Port{{Protocol: "tcp", HostIp: ip, HostPort: port, TargetIp: target, TargetPort: 80}}}
}

// granted claims with a relay that opens everything, and returns what that was told.
func granted(t *testing.T, c agentpb.PortsClient, s agentpb.Ports_AttendClient, req *agentpb.ClaimRequest) (told []*agentpb.AttendReply) {
	t.Helper()
	done := claiming(t, c, req)
	for {
		m := recv(t, s)
		told = append(told, m)
		if m.GetRelease() {
			continue
		}
		if err := s.Send(&agentpb.AttendRequest{Id: m.GetId()}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return told
	}
}

func TestAProcesssPortGoesWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := processes{"p1": make(chan struct{})}
		c := dialPorts(t, NewPorts(t.Context(), "", life.watch, quietLog(t)))
		s, _ := attend(t, c)
		granted(t, c, s, claimFor("p1", "0.0.0.0", 8080, "10.5.0.2"))
		synctest.Wait()
		close(life["p1"])
		if m := recv(t, s); !m.GetRelease() || m.GetOwner() != "p1" {
			t.Errorf("told %v", m)
		}
		if _, told := attend(t, c); len(told) != 0 {
			t.Errorf("the next relay is told %v", told)
		}
	})
}

// Its end may not have been heard of when the port is claimed anew.
func TestAPortOfAProcessThatHasEndedIsFreeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := processes{"p1": make(chan struct{}), "p2": make(chan struct{})}
		deaf := func(ctx context.Context, owner string) <-chan struct{} {
			if ended := life.watch(ctx, owner); ended == nil || isClosed(ended) {
				return ended
			}
			unheard := make(chan struct{})
			context.AfterFunc(ctx, func() { close(unheard) })
			return unheard
		}
		c := dialPorts(t, NewPorts(t.Context(), "", deaf, quietLog(t)))
		s, _ := attend(t, c)
		granted(t, c, s, claimFor("p1", "0.0.0.0", 8080, "10.5.0.2"))
		close(life["p1"])
		told := granted(t, c, s, claimFor("p2", "0.0.0.0", 8080, "10.5.0.3"))
		if len(told) != 2 || !told[0].GetRelease() || told[0].GetOwner() != "p1" || told[1].GetOwner() != "p2" {
			t.Errorf("told %v", told)
		}
		if _, err := c.Release(t.Context(), &agentpb.ReleaseRequest{Owner: "p2"}); err != nil {
			t.Error(err)
		}
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// dockerd has a process per address family.
func TestAPortOfBothFamiliesIsOneOnTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := processes{"p4": make(chan struct{}), "p6": make(chan struct{}), "p7": make(chan struct{})}
		c := dialPorts(t, NewPorts(t.Context(), "", life.watch, quietLog(t)))
		s, _ := attend(t, c)
		granted(t, c, s, claimFor("p4", "0.0.0.0", 8080, "10.5.0.2"))
		if err := <-claiming(t, c, claimFor("p6", "::", 8080, "10.5.0.2")); err != nil {
			t.Error(err)
		}
		// Another container's, or one that has an address of its own for IPv6, is another port.
		if told := granted(t, c, s, claimFor("p7", "::", 8080, "fd00::2")); told[0].GetOwner() != "p7" {
			t.Errorf("told %v", told)
		}
		if _, told := attend(t, c); len(told) != 2 {
			t.Errorf("the next relay is told %v", told)
		}
		synctest.Wait()
		for _, end := range life {
			close(end)
		}
		synctest.Wait()
		if _, told := attend(t, c); len(told) != 0 {
			t.Errorf("in the end: %v", told)
		}
	})
}

func TestAnAgentForgetsThePortsOfProcessesThatEndedWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ports")
		life := processes{"p1": make(chan struct{}), "p2": make(chan struct{})}
		c := dialPorts(t, NewPorts(t.Context(), file, life.watch, quietLog(t)))
		s, _ := attend(t, c)
		granted(t, c, s, claimFor("p1", "0.0.0.0", 8080, "10.5.0.2"))
		granted(t, c, s, claimFor("p2", "0.0.0.0", 8081, "10.5.0.3"))
		next := processes{"p2": life["p2"]} // the first one ends while there is no agent
		again := NewPorts(t.Context(), file, next.watch, quietLog(t))
		synctest.Wait()
		if _, told := attend(t, dialPorts(t, again)); len(told) != 1 || told[0].GetOwner() != "p2" {
			t.Errorf("told %v", told)
		}
		close(life["p1"])
		close(life["p2"])
		synctest.Wait()
	})
}
