package relay

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// udpIdle is how long a client's way to the container is kept without a datagram.
	udpIdle = 90 * time.Second
	// udpFlows is how many clients of one port are kept. Each question to a server of names may
	// come from another: the one that was silent longest makes room.
	udpFlows = 512
	// udpQueue is how many datagrams of one client wait; more are dropped, as a network would.
	udpQueue = 64
	// largestDatagram is what UDP's length field allows.
	largestDatagram = 65535
)

// openUDP passes datagrams on, each client's over a stream of its own: two bytes of length,
// big endian, then the datagram.
func (p *ports) openUDP(ctx context.Context, d *listener, network string) error {
	packets, err := new(net.ListenConfig).ListenPacket(ctx, network, d.address())
	if err != nil {
		return err
	}
	conn, ok := packets.(*net.UDPConn)
	if !ok {
		packets.Close()
		return net.UnknownNetworkError(network)
	}
	d.close = func() { conn.Close() }
	u := &udpDoor{ports: p, conn: conn, service: "udp:" + d.target, flows: map[netip.AddrPort]*udpFlow{}}
	p.wg.Go(func() { u.serve(ctx) })
	return nil
}

type udpDoor struct {
	ports   *ports
	conn    *net.UDPConn
	service string

	mu    sync.Mutex
	flows map[netip.AddrPort]*udpFlow
}

// udpFlow is one client's way to the container.
type udpFlow struct {
	client    netip.AddrPort
	datagrams chan []byte
	heard     time.Time // when the client last said something
	end       context.CancelFunc
}

// serve reads datagrams until the socket is closed or ctx ends.
func (u *udpDoor) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { u.conn.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	buf := make([]byte, largestDatagram)
	for {
		n, from, err := u.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil || isClosed(err) {
				return
			}
			continue // what an earlier answer met on its way
		}
		framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+n), uint16(n)) //nolint:gosec // at most 65535
		framed = append(framed, buf[:n]...)
		if flow := u.flowOf(ctx, &wg, from); flow != nil {
			select {
			case flow.datagrams <- framed:
			default:
			}
		}
	}
}

// flowOf is the flow of a client, made if need be; nil where there is no room for it.
func (u *udpDoor) flowOf(ctx context.Context, wg *sync.WaitGroup, client netip.AddrPort) *udpFlow {
	u.mu.Lock()
	defer u.mu.Unlock()
	f, ok := u.flows[client]
	if !ok {
		if len(u.flows) >= udpFlows {
			u.endOldest()
		}
		if !u.ports.flows.enter() {
			return nil
		}
		f = &udpFlow{client: client, datagrams: make(chan []byte, udpQueue)}
		ctx, f.end = context.WithCancel(ctx)
		u.flows[client] = f
		wg.Go(func() {
			defer u.ports.flows.leave()
			u.flow(ctx, f)
		})
	}
	f.heard = time.Now()
	return f
}

// endOldest ends the flow whose client was silent longest.
func (u *udpDoor) endOldest() {
	var oldest *udpFlow
	for _, f := range u.flows {
		if oldest == nil || f.heard.Before(oldest.heard) {
			oldest = f
		}
	}
	delete(u.flows, oldest.client)
	oldest.end()
}

// flow is one client's conversation with the container; it ends when both were silent for
// a while.
func (u *udpDoor) flow(ctx context.Context, f *udpFlow) {
	defer f.end()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.flows[f.client] == f {
			delete(u.flows, f.client)
		}
	}()
	s, err := u.ports.dial(ctx, u.service)
	if err != nil {
		u.ports.log.WithError(err).WithField("service", u.service).Debug("connecting to a published port")
		return
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Close() })()
	answered := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		u.answers(f.client, s, answered)
	}()
	idle := time.NewTimer(udpIdle)
	defer idle.Stop()
	for {
		select {
		case d := <-f.datagrams:
			idle.Reset(udpIdle)
			if _, err := s.Write(d); err != nil {
				return
			}
		case <-answered:
			idle.Reset(udpIdle)
		case <-idle.C:
			return
		case <-ended:
			return
		}
	}
}

func (u *udpDoor) answers(client netip.AddrPort, s *stream, answered chan<- struct{}) {
	buf := make([]byte, largestDatagram)
	for {
		if _, err := io.ReadFull(s, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf))
		if _, err := io.ReadFull(s, buf[:n]); err != nil {
			return
		}
		if _, err := u.conn.WriteToUDPAddrPort(buf[:n], client); isClosed(err) {
			return
		}
		select {
		case answered <- struct{}{}:
		default:
		}
	}
}
