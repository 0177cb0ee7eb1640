package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
)

func silentPorts(t *testing.T, take func(context.Context) (*stream, error)) *ports {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	return newPorts(log, PortRules{}, take)
}

// sshd would end everything if there were ever more streams: a connection too many is reset.
func TestAConnectionTooManyIsReset(t *testing.T) {
	taken := 0
	p := silentPorts(t, func(context.Context) (*stream, error) {
		taken++
		return nil, errors.New("there is none")
	})
	for range mostConnections {
		p.connections.enter()
	}
	near, far := net.Pipe()
	p.pass(t.Context(), near, "tcp:127.0.0.1:1")
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || taken > 0 {
		t.Errorf("%v, and %d streams were asked for", err, taken)
	}
	p.connections.leave()
	near, _ = net.Pipe()
	p.pass(t.Context(), near, "tcp:127.0.0.1:1")
	if taken != 1 || len(p.connections) != mostConnections-1 {
		t.Errorf("with room: %d streams were asked for, and %d are inside", taken, len(p.connections))
	}
}

// Of the clients of a UDP port, who may be made up, the one that was silent longest makes room.
func TestClientsOfAPortMakeRoom(t *testing.T) {
	p := silentPorts(t, func(ctx context.Context) (*stream, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	u := &udpDoor{ports: p, service: "udp:127.0.0.1:1", flows: map[netip.AddrPort]*udpFlow{}}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	client := func(n int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(n)) //nolint:gosec // small
	}
	first := u.flowOf(ctx, &wg, client(1))
	for n := 2; n <= udpFlows; n++ {
		u.flowOf(ctx, &wg, client(n))
	}
	if u.flowOf(ctx, &wg, client(1)) != first {
		t.Error("a client that is known has another flow")
	}
	if u.flowOf(ctx, &wg, client(udpFlows+1)) == nil {
		t.Error("there is no room for one more")
	}
	u.mu.Lock()
	_, second := u.flows[client(2)]
	if len(u.flows) != udpFlows || u.flows[client(1)] != first || second {
		t.Errorf("%d flows; that of the one that was silent longest is there: %v", len(u.flows), second)
	}
	u.mu.Unlock()
	other := &udpDoor{ports: p, service: u.service, flows: map[netip.AddrPort]*udpFlow{}}
	for p.flows.enter() { // other ports have the rest
	}
	if other.flowOf(ctx, &wg, client(1)) != nil {
		t.Error("there is room for more than all")
	}
	cancel()
	wg.Wait()
	if len(u.flows) > 0 {
		t.Errorf("%d flows are left", len(u.flows))
	}
}
