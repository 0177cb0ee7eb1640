package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// PortRules say what a guest may have listen on this host. What is zero takes the default.
type PortRules struct {
	// Max is how many ports all containers together may publish, by default 1000.
	Max int `json:"max"`
	// Lowest is the lowest port, by default 1024.
	Lowest uint16 `json:"lowest"`
	// Widest is the widest address: that, loopback ones, and every address where it is unspecified, as
	// it is by default. Who asks for all addresses gets this one.
	Widest netip.Addr `json:"widest"`
}

func (r PortRules) orDefaults() PortRules {
	r.Max, r.Lowest = orElse(r.Max, 1000), orElse(r.Lowest, 1024)
	r.Widest = orElse(r.Widest, netip.IPv4Unspecified())
	return r
}

// Same reports whether rules allow the same ports.
func (r PortRules) Same(other PortRules) bool { return r.orDefaults() == other.orDefaults() }

// Words are the rules as flags of the command that relays.
func (r PortRules) Words() []string {
	r = r.orDefaults()
	return []string{
		"--ports-max=" + strconv.Itoa(r.Max), "--ports-lowest=" + strconv.Itoa(int(r.Lowest)), "--ports-address=" + r.Widest.String(),
	}
}

// What a guest may tell of its ports, in bytes: one message, which is all the ports that a container may
// publish with the longest addresses; all of them until it has caught up, as they are in memory; the name
// of a container and its network; and a port, on the wire at most and in memory at least.
const (
	attendMessageMax = agent.PortsMax*portWire + 2*ownerMax
	attendBeforeMax  = 4 << 20
	ownerMax         = 512
	portWire         = 112
	portMemory       = 128
)

// Why a guest is not listened to.
var (
	errAttendBreach = fmt.Errorf("the guest's agent tells of more than %d MiB of published ports", attendBeforeMax>>20)
	errPortsBreach  = fmt.Errorf("the guest's agent tells of more than %d ports at once", agent.PortsMax)
)

// backlog holds what a guest tells before it has caught up.
type backlog struct {
	messages []*agentpb.AttendReply
	size     int
}

func (b *backlog) add(m *agentpb.AttendReply) error {
	// An empty message has a size, too.
	if b.size += proto.Size(m) + 64 + portMemory*len(m.GetOpen()); b.size > attendBeforeMax {
		return errAttendBreach
	}
	b.messages = append(b.messages, m)
	return nil
}

// attendCodec reads what a guest tells, unless it is of too many ports: an empty one is two bytes there, and
// many more once it has been read.
type attendCodec struct{ encoding.CodecV2 }

func (c attendCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if _, ok := v.(*agentpb.AttendReply); ok {
		text := data.MaterializeToBuffer(mem.DefaultBufferPool())
		defer text.Free()
		if err := countPorts(text.ReadOnlyData()); err != nil {
			return err
		}
	}
	return c.CodecV2.Unmarshal(data, v)
}

// countPorts refuses an AttendReply with too many ports.
func countPorts(text []byte) error {
	for n := 0; len(text) > 0; {
		number, _, size := protowire.ConsumeField(text)
		if size < 0 {
			return protowire.ParseError(size)
		}
		if number == openField {
			n++
		}
		if n > agent.PortsMax {
			return errPortsBreach
		}
		text = text[size:]
	}
	return nil
}

// openField is the number of AttendReply's field open.
var openField = (&agentpb.AttendReply{}).ProtoReflect().Descriptor().Fields().ByName("open").Number()

// place is where a guest's port shall be on this host, and the target that it passes to.
func (r PortRules) place(w *agentpb.Port) (place, string, error) {
	at := place{protocol: w.GetProtocol()}
	if at.protocol != "tcp" && at.protocol != "udp" && at.protocol != "sctp" {
		return at, "", fmt.Errorf("publishing a port: %.20q is no protocol", at.protocol)
	}
	if w.GetHostPort() == 0 || w.GetHostPort() > 65535 || w.GetTargetPort() == 0 || w.GetTargetPort() > 65535 {
		return at, "", fmt.Errorf("publishing port %d as %d: there is no such port", w.GetTargetPort(), w.GetHostPort())
	}
	at.port = uint16(w.GetHostPort())
	target, err := netip.ParseAddr(w.GetTargetIp())
	if err != nil || target.Zone() != "" {
		return at, "", fmt.Errorf("publishing port %d: %.80q is no IP address", at.port, w.GetTargetIp())
	}
	ip, err := r.address(w.GetHostIp())
	if err != nil {
		return at, "", fmt.Errorf("publishing port %d: %w", at.port, err)
	}
	at.ip = ip.String()
	if at.port < r.Lowest {
		return at, "", fmt.Errorf("publishing port %d: the virtual machine may publish ports from %d on (vm.ports.lowest in linnet.yaml)", at.port, r.Lowest)
	}
	return at, net.JoinHostPort(target.String(), strconv.Itoa(int(w.GetTargetPort()))), nil
}

// address is the one that a guest gets for the one that it asks for. Names are not looked up.
func (r PortRules) address(asked string) (netip.Addr, error) {
	if asked == "" {
		asked = "0.0.0.0"
	}
	ip, err := netip.ParseAddr(asked)
	ip = ip.Unmap()
	switch {
	case err != nil || ip.Zone() != "" || ip.IsMulticast():
		return ip, fmt.Errorf("%.80q is no IP address of this host", asked)
	case r.Widest.IsUnspecified() || ip.IsLoopback() || ip == r.Widest:
		return ip, nil
	case ip.IsUnspecified() && ip.Is4() == r.Widest.Is4():
		return r.Widest, nil
	case ip.IsUnspecified() && r.Widest.IsLoopback() && ip.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	case ip.IsUnspecified() && r.Widest.IsLoopback():
		return netip.IPv6Loopback(), nil
	}
	return ip, fmt.Errorf("%s is not within %s (vm.ports.address in linnet.yaml)", ip, r.Widest)
}

// tooMany is why ports beyond Max are not opened.
func (r PortRules) tooMany() error {
	return fmt.Errorf("the virtual machine may publish %d ports at most (vm.ports.max in linnet.yaml)", r.Max)
}

var errOwner = errors.New("publishing a port: the container's name is too long")
