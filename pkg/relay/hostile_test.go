package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// hostileAgent speaks the protocol of ports alone, and says what a test wants.
type hostileAgent struct {
	agentpb.UnimplementedPortsServer
	say func(agentpb.Ports_AttendServer) error
	// calls counts how often it was attended.
	calls atomic.Int64
}

func (h *hostileAgent) Attend(s agentpb.Ports_AttendServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	h.calls.Add(1)
	return h.say(s)
}

func (l *lab) hostile(say func(agentpb.Ports_AttendServer) error) *hostileAgent {
	l.t.Helper()
	listener, err := net.Listen("unix", l.GuestSocket)
	if err != nil {
		l.t.Fatal(err)
	}
	h := &hostileAgent{say: say}
	g := grpc.NewServer()
	agentpb.RegisterPortsServer(g, h)
	go func() { _ = g.Serve(listener) }()
	l.t.Cleanup(g.Stop)
	return h
}

// asks has the guest claim ports, and returns the answers.
func (l *lab) asks(owners map[string][]*agentpb.Port) map[string]string {
	l.t.Helper()
	answers := make(chan map[string]string, 1)
	l.hostile(func(s agentpb.Ports_AttendServer) error {
		got, ids := map[string]string{}, map[int64]string{}
		if err := s.Send(&agentpb.AttendReply{CaughtUp: true}); err != nil {
			return err
		}
		for owner, ports := range owners {
			id := int64(len(ids) + 1)
			ids[id] = owner
			if err := s.Send(&agentpb.AttendReply{Id: id, Owner: owner, Open: ports}); err != nil {
				return err
			}
			a, err := s.Recv()
			if err != nil {
				return err
			}
			got[ids[a.GetId()]] = a.GetError()
		}
		answers <- got
		<-s.Context().Done()
		return nil
	})
	l.start()
	select {
	case got := <-answers:
		return got
	case <-time.After(limit):
		l.t.Fatal("it is not answered")
		return nil
	}
}

func TestAGuestOpensNoMorePortsThanTheHostSays(t *testing.T) {
	l := newLab(t)
	l.Ports.Max = 20
	owners := map[string][]*agentpb.Port{}
	for i := range 15_000 {
		p := &agentpb.Port{Protocol: "tcp", HostIp: "127.0.0.1", HostPort: uint32(20_000 + i), TargetIp: "127.0.0.1", TargetPort: 1}
		owner := fmt.Sprintf("c%d/b/e", i%100)
		owners[owner] = append(owners[owner], p)
	}
	refused := 0
	for _, answer := range l.asks(owners) {
		if strings.Contains(answer, "the virtual machine may publish 20 ports at most (vm.ports.max in linnet.yaml)") {
			refused++
		}
	}
	if got := len(l.status().Ports); got > 20 || refused != 100 {
		t.Errorf("%d ports are there, and %d claims of 100 refused", got, refused)
	}
	if n := listeners(t); n > 20+10 {
		t.Errorf("%d sockets listen", n)
	}
}

// listeners is how many TCP sockets of this process listen on IPv4.
func listeners(t *testing.T) (n int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	own := map[string]bool{}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			own[strings.Trim(strings.TrimPrefix(to, "socket:"), "[]")] = true
		}
	}
	text, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && own[f[9]] {
			n++
		}
	}
	return n
}

func TestWhatAGuestMayPublish(t *testing.T) {
	port := func(ip string, number uint32) *agentpb.Port {
		return &agentpb.Port{Protocol: "tcp", HostIp: ip, HostPort: number, TargetIp: "10.4.0.2", TargetPort: 80}
	}
	loopback, own := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.7")
	for _, c := range []struct {
		rules PortRules
		asked *agentpb.Port
		want  string // the address, or the error
	}{
		{PortRules{}, port("", 8080), "0.0.0.0:8080"},
		{PortRules{}, port("::", 8080), "[::]:8080"},
		{PortRules{}, port("192.0.2.9", 8080), "192.0.2.9:8080"},
		{PortRules{}, port("::ffff:127.0.0.1", 8080), "127.0.0.1:8080"},
		{PortRules{}, port("127.0.0.1", 80), "publishing port 80: the virtual machine may publish ports from 1024 on (vm.ports.lowest in linnet.yaml)"},
		{PortRules{Lowest: 80}, port("127.0.0.1", 80), "127.0.0.1:80"},
		{PortRules{Lowest: 81}, port("127.0.0.1", 80), "publishing port 80: the virtual machine may publish ports from 81 on (vm.ports.lowest in linnet.yaml)"},
		{PortRules{}, port("localhost", 8080), `publishing port 8080: "localhost" is no IP address of this host`},
		{PortRules{}, port("evil.example.com", 8080), `publishing port 8080: "evil.example.com" is no IP address of this host`},
		{PortRules{}, port("127.1", 8080), `publishing port 8080: "127.1" is no IP address of this host`},
		{PortRules{}, port("fe80::1%eth0", 8080), `publishing port 8080: "fe80::1%eth0" is no IP address of this host`},
		{PortRules{}, port("224.0.0.1", 8080), `publishing port 8080: "224.0.0.1" is no IP address of this host`},
		{PortRules{}, port("\x1b[2J", 8080), `publishing port 8080: "\x1b[2J" is no IP address of this host`},
		{PortRules{}, port("", 65536+8080), "publishing port 80 as 73616: there is no such port"},
		{PortRules{}, port("", 0), "publishing port 80 as 0: there is no such port"},
		{PortRules{}, &agentpb.Port{Protocol: "tcp", HostPort: 8080, TargetIp: "evil.example.com", TargetPort: 80}, `publishing port 8080: "evil.example.com" is no IP address`},
		{PortRules{}, &agentpb.Port{Protocol: "tcp\n", HostPort: 8080, TargetIp: "10.4.0.2", TargetPort: 80}, `publishing a port: "tcp\n" is no protocol`},
		{PortRules{Widest: loopback}, port("", 8080), "127.0.0.1:8080"},
		{PortRules{Widest: loopback}, port("::", 8080), "[::1]:8080"},
		{PortRules{Widest: loopback}, port("127.0.0.2", 8080), "127.0.0.2:8080"},
		{PortRules{Widest: loopback}, port("192.0.2.7", 8080), "publishing port 8080: 192.0.2.7 is not within 127.0.0.1 (vm.ports.address in linnet.yaml)"},
		{PortRules{Widest: own}, port("", 8080), "192.0.2.7:8080"},
		{PortRules{Widest: own}, port("192.0.2.7", 8080), "192.0.2.7:8080"},
		{PortRules{Widest: own}, port("::", 8080), "publishing port 8080: :: is not within 192.0.2.7 (vm.ports.address in linnet.yaml)"},
	} {
		at, _, err := c.rules.orDefaults().place(c.asked)
		got := at.address()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v asked %v:\ngot  %s\nwant %s", c.rules, c.asked, got, c.want)
		}
	}
}

// An empty port is two bytes on the wire, and many more in memory: ports are counted, too, in one message
// before it is read and in all of them.
func TestPortsAreCountedBeforeTheyAreRead(t *testing.T) {
	ports := func(n int, p *agentpb.Port) (all []*agentpb.Port) {
		for range n {
			all = append(all, p)
		}
		return all
	}
	longest := "0000:0000:0000:0000:0000:ffff:255.255.255.255"
	widest := &agentpb.Port{Protocol: "sctp", HostIp: longest, HostPort: 65535, TargetIp: longest, TargetPort: 65535}
	codec := attendCodec{encoding.GetCodecV2("proto")}
	for _, c := range []struct {
		name string
		open []*agentpb.Port
		want error
	}{
		{"none", nil, nil},
		{"as many as there may be", ports(10_000, widest), nil},
		{"one more, empty", ports(10_001, &agentpb.Port{}), errPortsBreach},
		{"many, empty", ports(480_000, &agentpb.Port{}), errPortsBreach},
	} {
		wire, err := codec.Marshal(&agentpb.AttendReply{Owner: "c/b/e", Open: c.open})
		if err != nil {
			t.Fatal(err)
		}
		if wire.Len() > attendMessageMax {
			t.Errorf("%s: %d bytes are more than a message may have", c.name, wire.Len())
		}
		var read agentpb.AttendReply
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err = codec.Unmarshal(wire, &read)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) || err == nil && len(read.GetOpen()) != len(c.open) {
			t.Errorf("%s: %v, and %d ports are read", c.name, err, len(read.GetOpen()))
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 8 {
			t.Errorf("%s: reading takes %d MiB", c.name, took)
		}
	}
	var before backlog
	held := 0
	for m := (&agentpb.AttendReply{Open: ports(1000, &agentpb.Port{})}); before.add(m) == nil; {
		held += len(m.GetOpen())
	}
	if held > 32<<10 {
		t.Errorf("%d empty ports are held", held)
	}
}

func TestAGuestThatTellsWithoutEndIsNotListenedTo(t *testing.T) {
	if testing.Short() {
		t.Skip("it sends a mass of data")
	}
	l := newLab(t)
	text := strings.Repeat("x", 100<<10)
	h := l.hostile(func(s agentpb.Ports_AttendServer) error {
		for {
			if err := s.Send(&agentpb.AttendReply{Owner: text, Open: []*agentpb.Port{{Protocol: "tcp", HostIp: text}}}); err != nil {
				return err
			}
		}
	})
	l.start()
	l.until("it was not listened to thrice", func() bool { return h.calls.Load() > 3 })
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if mib := m.HeapAlloc >> 20; mib > 64 {
		t.Errorf("%d MiB are held", mib)
	}
	if got := l.status().Ports; len(got) != 0 {
		t.Errorf("published are %d", len(got))
	}
}

func TestARelayTellsItsRules(t *testing.T) {
	l := newLab(t)
	l.Ports = PortRules{Max: 5, Widest: netip.MustParseAddr("127.0.0.1")}
	l.start()
	got, err := QueryRules(t.Context(), l.ControlSocket)
	if want := (PortRules{Max: 5, Lowest: 1024, Widest: l.Ports.Widest}); err != nil || got.PortRules != want || !got.Same(l.Ports) || got.Same(PortRules{}) {
		t.Errorf("%+v, %v", got, err)
	}
}
