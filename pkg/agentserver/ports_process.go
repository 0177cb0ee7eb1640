package agentserver

import (
	"context"
	"net/netip"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// hold has a claim end with the process whose it is, and with nothing else: it outlives the call that made it, and the agent.
func (p *Ports) hold(ctx context.Context, c *portClaim) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := p.watch(ctx, c.owner)
	if ended == nil {
		cancel()
		return
	}
	c.unwatch = cancel
	go func() {
		<-ended
		p.remove(c)
	}()
}

func (c *portClaim) release() {
	if c.unwatch != nil {
		c.unwatch()
	}
}

// dropEnded takes back what processes claimed that have ended, where it is in the way of ports: their end may not have been heard of yet.
func (p *Ports) dropEnded(ctx context.Context, ports []*agentpb.Port) {
	wanted := map[uint32]bool{}
	for _, port := range ports {
		wanted[port.GetHostPort()] = true
	}
	for owner, c := range p.claims {
		if c.unwatch == nil || !wanted[c.ports[0].GetHostPort()] {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		select {
		case <-p.watch(ctx, owner):
			p.drop(owner)
		default:
		}
		cancel()
	}
}

// covered reports whether a port of every IPv6 address is another owner's already for every IPv4 address, with the same target. It is one port
// to who published it, by two processes, and one on the host.
func (p *Ports) covered(owner string, port *agentpb.Port) bool {
	if !isAny(port.GetHostIp(), netip.IPv6Unspecified()) {
		return false
	}
	for other, c := range p.claims {
		if other == owner || c.unwatch == nil {
			continue
		}
		for _, o := range c.ports {
			if isAny(o.GetHostIp(), netip.IPv4Unspecified()) && o.GetProtocol() == port.GetProtocol() && o.GetHostPort() == port.GetHostPort() &&
				o.GetTargetIp() == port.GetTargetIp() && o.GetTargetPort() == port.GetTargetPort() {
				return true
			}
		}
	}
	return false
}

func isAny(text string, unspecified netip.Addr) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && ip == unspecified
}
