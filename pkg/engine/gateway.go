//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// limaHost is Lima's name for the machine that a virtual machine runs on. It is in the virtual machine's /etc/hosts.
const limaHost = "host.lima.internal"

// hostGateway returns the IPv4 address at which containers of every network reach the host, or "" where none is known. Natively
// that is the default bridge's: no other address of a host stays the same for as long as a container lives. The bridge is made here,
// since a container of another network may be the first. In a virtual machine the host is outside.
func (n networks) hostGateway(ctx context.Context, b bridge) string {
	if n.guestSocket != "" {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", limaHost)
		if err != nil || len(found) == 0 {
			n.log.WithError(err).Warn("host-gateway has no meaning: finding the host")
			return ""
		}
		return found[0].Unmap().String()
	}
	if err := ensureBridge(b); err != nil {
		n.log.WithError(err).Warn("host-gateway leads nowhere until a container has used the default network")
	}
	return b.Gateway
}

// ensureBridge makes the default network's interface as the CNI plugin "bridge" makes it, which takes the one that is there.
func ensureBridge(b bridge) error {
	subnet, err := netip.ParsePrefix(b.Subnet)
	if err != nil {
		return fmt.Errorf("making the interface %s: %w", b.Bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = b.Bridge
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("making the interface %s: %w", b.Bridge, err)
	}
	link, err := netlink.LinkByName(b.Bridge)
	if err != nil {
		return fmt.Errorf("finding the interface %s: %w", b.Bridge, err)
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("the interface %s is no bridge but a %s", b.Bridge, link.Type())
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(b.Gateway), Mask: net.CIDRMask(subnet.Bits(), 32)}}
	if err := netlink.AddrReplace(link, address); err != nil {
		return fmt.Errorf("giving the interface %s its address %s: %w", b.Bridge, b.Gateway, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting up the interface %s: %w", b.Bridge, err)
	}
	return nil
}
