package agentserver

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

func quietLog(t testing.TB) logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(t.Output())
	return log
}

// dialPorts serves p and returns a client of it.
func dialPorts(t *testing.T, p *Ports) agentpb.PortsClient {
	t.Helper()
	near, far := net.Pipe()
	accepted := make(chan net.Conn, 1)
	accepted <- far
	l := &oneConn{accepted: accepted, done: make(chan struct{})}
	g := grpc.NewServer()
	agentpb.RegisterPortsServer(g, p)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("passthrough:///p", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return near, nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return agentpb.NewPortsClient(conn)
}

type oneConn struct {
	accepted chan net.Conn
	done     chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

func claimOf(owner string, ports ...uint32) *agentpb.ClaimRequest {
	c := &agentpb.ClaimRequest{Owner: owner}
	for _, port := range ports {
		c.Ports = append(c.Ports, &agentpb.Port{Protocol: "tcp", HostIp: "0.0.0.0", HostPort: port, TargetIp: "10.4.0.2", TargetPort: 80})
	}
	return c
}

// attend says hello and returns the stream with what was told until all was.
func attend(t *testing.T, c agentpb.PortsClient) (agentpb.Ports_AttendClient, []*agentpb.AttendReply) {
	t.Helper()
	s, err := c.Attend(t.Context())
	if err == nil {
		err = s.Send(&agentpb.AttendRequest{})
	}
	if err != nil {
		t.Fatal(err)
	}
	var told []*agentpb.AttendReply
	for {
		m := recv(t, s)
		if m.GetCaughtUp() {
			return s, told
		}
		told = append(told, m)
	}
}

func recv(t *testing.T, s agentpb.Ports_AttendClient) *agentpb.AttendReply {
	t.Helper()
	m, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// claiming claims in the background.
func claiming(t *testing.T, c agentpb.PortsClient, req *agentpb.ClaimRequest) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Claim(t.Context(), req)
		done <- err
	}()
	return done
}

func hostPorts(m *agentpb.AttendReply) (all []uint32) {
	for _, p := range m.GetOpen() {
		all = append(all, p.GetHostPort())
	}
	return all
}

func TestAClaimIsAnsweredByWhoAttends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		s, told := attend(t, c)
		if len(told) != 0 {
			t.Errorf("before any claim, it is told %v", told)
		}
		done := claiming(t, c, claimOf("a/bridge/eth0", 80, 81))
		m := recv(t, s)
		if m.GetOwner() != "a/bridge/eth0" || !slices.Equal(hostPorts(m), []uint32{80, 81}) {
			t.Errorf("it is told %v", m)
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Error("the claim did not wait for the answer")
		}
		if err := s.Send(&agentpb.AttendRequest{Id: m.GetId()}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("a claim that is granted: %v", err)
		}
		if _, err := c.Release(t.Context(), &agentpb.ReleaseRequest{Owner: "a/bridge/eth0"}); err != nil {
			t.Error(err)
		}
		if m := recv(t, s); !m.GetRelease() || m.GetOwner() != "a/bridge/eth0" {
			t.Errorf("after the release, it is told %v", m)
		}
	})
}

func TestARefusedClaimIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		s, _ := attend(t, c)
		done := claiming(t, c, claimOf("a/bridge/eth0", 80))
		m := recv(t, s)
		if err := s.Send(&agentpb.AttendRequest{Id: m.GetId(), Error: "bind for 0.0.0.0:80 failed: port is already allocated"}); err != nil {
			t.Fatal(err)
		}
		err := <-done
		if status.Code(err) != codes.AlreadyExists || status.Convert(err).Message() != "bind for 0.0.0.0:80 failed: port is already allocated" {
			t.Errorf("the claim got %v", err)
		}
		if m := recv(t, s); !m.GetRelease() {
			t.Errorf("after the refusal, it is told %v", m)
		}
		if _, told := attend(t, c); len(told) != 0 {
			t.Errorf("the next one is told %v", told)
		}
	})
}

func TestClaimsWaitTogetherForARelayToAttend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		began := time.Now()
		for i, owner := range []string{"a/b/e", "b/b/e", "c/b/e"} {
			if err := <-claiming(t, c, claimOf(owner, uint32(80+i))); err != nil {
				t.Errorf("%s: %v", owner, err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("three claims took %v", took)
		}
		_, told := attend(t, c)
		var owners []string
		for _, m := range told {
			owners = append(owners, m.GetOwner())
		}
		if !slices.Equal(owners, []string{"a/b/e", "b/b/e", "c/b/e"}) {
			t.Errorf("who comes later is told of %v", owners)
		}
	})
}

func TestAClaimIsTakenUpByWhoComesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		done := claiming(t, c, claimOf("a/b/e", 80))
		synctest.Wait()
		s, told := attend(t, c)
		if len(told) != 1 {
			t.Fatalf("it is told %v", told)
		}
		if err := s.Send(&agentpb.AttendRequest{Id: told[0].GetId(), Error: "taken"}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; status.Code(err) != codes.AlreadyExists {
			t.Errorf("the claim got %v", err)
		}
	})
}

func TestAnAnswerThatDoesNotComeHoldsNoClaimUpForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		s, _ := attend(t, c)
		began := time.Now()
		done := claiming(t, c, claimOf("a/b/e", 80))
		m := recv(t, s)
		if err := <-done; err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		// Late, it changes nothing: the claim stands, to be tried again.
		if err := s.Send(&agentpb.AttendRequest{Id: m.GetId(), Error: "taken"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, told := attend(t, c); len(told) != 1 {
			t.Errorf("the next one is told %v", told)
		}
	})
}

func TestTheLastOneAttends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		first, _ := attend(t, c)
		second, _ := attend(t, c)
		if _, err := first.Recv(); status.Code(err) != codes.Aborted {
			t.Errorf("the first one gets %v", err)
		}
		claiming(t, c, claimOf("a/b/e", 80))
		if m := recv(t, second); m.GetOwner() != "a/b/e" {
			t.Errorf("the second one is told %v", m)
		}
	})
}

func TestAContainerOfTwoNetworksPublishesAPortOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		s, _ := attend(t, c)
		claiming(t, c, claimOf("a/first/eth0", 80))
		recv(t, s)
		if err := <-claiming(t, c, claimOf("a/second/eth1", 80)); err != nil {
			t.Errorf("the second network: %v", err)
		}
		claiming(t, c, claimOf("a/third/eth2", 80, 81))
		if m := recv(t, s); !slices.Equal(hostPorts(m), []uint32{81}) {
			t.Errorf("the third network: it is told %v", m)
		}
		claiming(t, c, claimOf("b/first/eth0", 80))
		if m := recv(t, s); !slices.Equal(hostPorts(m), []uint32{80}) {
			t.Errorf("another container: it is told %v", m)
		}
	})
}

func TestARestartedAgentKnowsTheClaims(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ports.json")
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), file, nil, quietLog(t)))
		for _, owner := range []string{"b/b/e", "a/b/e", "c/b/e"} {
			if err := <-claiming(t, c, claimOf(owner, 80)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Release(t.Context(), &agentpb.ReleaseRequest{Owner: "a/b/e"}); err != nil {
			t.Fatal(err)
		}
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("torn\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		_, told := attend(t, dialPorts(t, NewPorts(t.Context(), file, nil, quietLog(t))))
		var owners []string
		for _, m := range told {
			owners = append(owners, m.GetOwner())
			if !slices.Equal(hostPorts(m), []uint32{80}) || m.GetOpen()[0].GetTargetIp() != "10.4.0.2" {
				t.Errorf("it is told %v", m)
			}
		}
		if !slices.Equal(owners, []string{"b/b/e", "c/b/e"}) {
			t.Errorf("it is told of %v", owners)
		}
	})
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAClaimEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialPorts(t, NewPorts(t.Context(), "", nil, quietLog(t)))
		s, _ := attend(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = c.Claim(ctx, claimOf("a/b/e", 80)) }()
		recv(t, s)
		cancel()
		if m := recv(t, s); !m.GetRelease() {
			t.Errorf("it is told %v", m)
		}
	})
}

func TestDatagramsPassAService(t *testing.T) {
	echo, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for buf := make([]byte, 1<<16); ; {
			n, from, err := echo.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			_, _ = echo.WriteTo([]byte(strings.ToUpper(string(buf[:n]))), from)
		}
	}()
	conn, err := newLab(t, nil).client(t).Dial(t.Context(), "udp:"+echo.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Two datagrams in pieces that are none.
	for _, piece := range []string{"\x00", "\x02ab\x00\x03c", "de"} {
		if _, err := conn.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len("\x00\x02AB\x00\x03CDE"))
	for n := 0; n < len(got); {
		m, err := conn.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if string(got) != "\x00\x02AB\x00\x03CDE" {
		t.Errorf("got %q", got)
	}
}

// The other side reads so many ports at once; more are refused here, to the one container.
func TestAContainerPublishesSoManyPorts(t *testing.T) {
	p := NewPorts(t.Context(), "", nil, logrus.New())
	_, err := p.Claim(t.Context(), claimOf("a/b/e", make([]uint32, 10_001)...))
	if want := "publishing 10001 ports: a container may publish 10000 at most"; status.Convert(err).Message() != want {
		t.Errorf("%v, not %s", err, want)
	}
	if len(p.claims) > 0 {
		t.Error("they are claimed")
	}
}
