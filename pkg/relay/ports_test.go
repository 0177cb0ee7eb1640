package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// freePort is one of this host that no process listens on now.
func freePort(t *testing.T, network, ip string) uint32 {
	t.Helper()
	var addr net.Addr
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Skip(err)
		}
		defer c.Close()
		addr = c.LocalAddr()
	} else {
		l, err := net.Listen(network, net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Skip(err) // no IPv6, say
		}
		defer l.Close()
		addr = l.Addr()
	}
	return uint32(netip.MustParseAddrPort(addr.String()).Port())
}

// port publishes a place of this host as what listens at target.
func port(protocol, ip string, number uint32, target net.Addr) *agentpb.Port {
	to := netip.MustParseAddrPort(target.String())
	return &agentpb.Port{Protocol: protocol, HostIp: ip, HostPort: number, TargetIp: to.Addr().String(), TargetPort: uint32(to.Port())}
}

func at(p *agentpb.Port) string { return net.JoinHostPort(p.GetHostIp(), fmt.Sprint(p.GetHostPort())) }

// container is a server that answers each connection with what it got, once that has ended.
func container(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go echoAtEnd(l)
	return l.Addr()
}

func (a *guestAgent) claim(t *testing.T, owner string, ports ...*agentpb.Port) error {
	t.Helper()
	_, err := a.ports.Claim(t.Context(), &agentpb.ClaimRequest{Owner: owner, Ports: ports})
	return err
}

func (a *guestAgent) release(t *testing.T, owner string) {
	t.Helper()
	if _, err := a.ports.Release(t.Context(), &agentpb.ReleaseRequest{Owner: owner}); err != nil {
		t.Fatal(err)
	}
}

// echoes reports whether what is sent to a published port comes back.
func echoes(t *testing.T, address string) error {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("it answers %q", got)
	}
	return err
}

func refused(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func TestAClaimedPortIsOpenWhenTheClaimReturns(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "0.0.0.0", "::1"} {
		t.Run(ip, func(t *testing.T) {
			network := "tcp4"
			if ip == "::1" {
				network = "tcp6"
			}
			number := freePort(t, network, ip)
			l := newLab(t)
			a := l.agent()
			l.start()
			p := port("tcp", ip, number, container(t))
			if err := a.claim(t, "a/b/e", p); err != nil {
				t.Fatal(err)
			}
			if err := echoes(t, at(p)); err != nil {
				t.Error(err)
			}
			if ip == "127.0.0.1" && !refused(fmt.Sprintf("127.0.0.2:%d", number)) {
				t.Error("it is open at another address too")
			}
			want := Port{Owner: "a/b/e", Protocol: "tcp", Host: at(p), Target: net.JoinHostPort(p.GetTargetIp(), fmt.Sprint(p.GetTargetPort()))}
			if got := l.status().Ports; len(got) != 1 || got[0] != want {
				t.Errorf("published are %+v", got)
			}
			a.release(t, "a/b/e")
			l.until("it is closed", func() bool { return refused(at(p)) })
			if got := l.status().Ports; len(got) != 0 {
				t.Errorf("published are %+v", got)
			}
		})
	}
}

func TestAClaimOfBeforeIsOpenedOnceThereIsARelay(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	l := newLab(t)
	a := l.agent()
	p := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), container(t))
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err) // it is noted
	}
	l.start()
	l.until("it is open", func() bool { return !refused(at(p)) })
	if err := echoes(t, at(p)); err != nil {
		t.Error(err)
	}
}

func TestATakenPortIsRefusedAndNothingElseIsLeftOpen(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l := newLab(t)
	a := l.agent()
	l.start()
	target := container(t)
	free := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), target)
	number := uint32(netip.MustParseAddrPort(taken.Addr().String()).Port())
	err = a.claim(t, "a/b/e", free, port("tcp", "127.0.0.1", number, target))
	want := fmt.Sprintf("bind for 127.0.0.1:%d failed: port is already allocated", number)
	if status.Code(err) != codes.AlreadyExists || status.Convert(err).Message() != want {
		t.Errorf("the claim gets %v", err)
	}
	l.until("the other port is closed", func() bool { return refused(at(free)) })
	if err := a.claim(t, "a/b/e", free); err != nil {
		t.Errorf("without the taken one: %v", err)
	}
}

func TestAnAddressThatIsNotThisHostsIsRefused(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	err := a.claim(t, "a/b/e", port("tcp", "192.0.2.1", 8080, container(t)))
	if status.Convert(err).Message() != "listen tcp4 192.0.2.1:8080: bind: cannot assign requested address" && !strings.Contains(err.Error(), "can't assign") {
		t.Errorf("the claim gets %v", err)
	}
}

func TestBindErrorsSayWhatToDo(t *testing.T) {
	denied := &net.OpError{Op: "listen", Net: "tcp4", Err: syscall.EACCES}
	for _, c := range []struct {
		at   place
		err  error
		want string
	}{
		{place{"tcp", "0.0.0.0", 80}, denied, "listen tcp4: permission denied (ports below 1024 are for root here: publish a higher one)"},
		{place{"tcp", "0.0.0.0", 8080}, denied, "listen tcp4: permission denied"},
		{place{"udp", "::", 53}, syscall.EADDRINUSE, "bind for [::]:53 failed: port is already allocated"},
	} {
		if got := bindError(c.at, c.err); got.Error() != c.want {
			t.Errorf("got %v", got)
		}
	}
}

func TestListenersStayWhileTheGuestIsNotReached(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	kept := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), container(t))
	gone := port("tcp", "127.0.0.1", freePort(t, "tcp4", "127.0.0.1"), container(t))
	if err := errors.Join(a.claim(t, "kept/b/e", kept), a.claim(t, "gone/b/e", gone)); err != nil {
		t.Fatal(err)
	}
	l.sshd.Greeting(func(net.Conn) bool { return false })
	l.sshd.Kill()
	l.until("the connection is lost", func() bool { return !l.status().Connected })
	waiting := make(chan error, 1)
	go func() { waiting <- echoes(t, at(kept)) }()
	// Meanwhile one container ends, and another takes its port.
	a.release(t, "gone/b/e")
	next := port("tcp", gone.GetHostIp(), gone.GetHostPort(), container(t))
	claimed := make(chan error, 1)
	go func() { claimed <- a.claim(t, "next/b/e", next) }()
	l.sshd.Greeting(nil)
	if err := <-claimed; err != nil {
		t.Errorf("the next claim of a port: %v", err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("who connected meanwhile: %v", err)
	}
	l.until("only what is claimed is open", func() bool {
		var owners []string
		for _, p := range l.status().Ports {
			owners = append(owners, p.Owner)
		}
		return len(owners) == 2 && !strings.Contains(strings.Join(owners, " "), "gone")
	})
	if err := echoes(t, at(next)); err != nil {
		t.Error(err)
	}
}

func TestAPortThatWasTakenComesBackLater(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l := newLab(t)
	a := l.agent()
	p := port("tcp", "127.0.0.1", uint32(netip.MustParseAddrPort(taken.Addr().String()).Port()), container(t))
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err) // noted, of a container that runs already
	}
	l.start()
	l.until("it is known not to be open", func() bool {
		ports := l.status().Ports
		return len(ports) == 1 && strings.HasSuffix(ports[0].Error, "port is already allocated")
	})
	taken.Close()
	l.until("it is open", func() bool { return l.status().Ports[0].Error == "" })
	if err := echoes(t, at(p)); err != nil {
		t.Error(err)
	}
}

func TestAProtocolThatTheRelayDoesNotCarryIsNotRefused(t *testing.T) {
	l := newLab(t)
	a := l.agent()
	l.start()
	p := port("sctp", "0.0.0.0", 3868, container(t))
	if err := a.claim(t, "a/b/e", p); err != nil {
		t.Fatal(err)
	}
	if got := l.status().Ports; len(got) != 1 || got[0].Error != "sctp is not carried to the host" {
		t.Errorf("published are %+v", got)
	}
}
