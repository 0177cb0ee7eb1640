//go:build linux

package engine

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"

	"github.com/linnet-dev/linnet/pkg/host"
)

// freeSubnet picks a /24 of pool that overlaps none of used. It looks from the start-th on,
// so that the engines of several homes on one host hardly ever meet, even while stopped.
func freeSubnet(pool netip.Prefix, start int, used []netip.Prefix) (netip.Prefix, bool) {
	return freeBlock(pool, 24, start, used)
}

// freeBlock is freeSubnet for a block of so many bits, 24 at most.
func freeBlock(pool netip.Prefix, bits, start int, used []netip.Prefix) (netip.Prefix, bool) {
	pool = pool.Masked()
	if !pool.Addr().Is4() || pool.Bits() > bits || bits > 24 {
		return netip.Prefix{}, false
	}
	count := 1 << (bits - pool.Bits())
	base := pool.Addr().As4()
	for i := range count {
		k := (start + i) % count << (24 - bits)
		a := base
		a[2] += byte(k)
		a[1] += byte(k >> 8)
		a[0] += byte(k >> 16)
		candidate := netip.PrefixFrom(netip.AddrFrom4(a), bits)
		free := true
		for _, u := range used {
			if u.Overlaps(candidate) {
				free = false
				break
			}
		}
		if free {
			return candidate, true
		}
	}
	return netip.Prefix{}, false
}

// usedSubnets lists the subnets of this host's interfaces.
func usedSubnets() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("listing this host's addresses: %w", err)
	}
	var used []netip.Prefix
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, prefix.Masked())
		}
	}
	return used, nil
}

// othersSubnets lists the subnets of this host's interfaces, but for this home's own.
func othersSubnets(l host.Layout) (subnets []netip.Prefix, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing this host's interfaces: %w", err)
	}
	for _, i := range all {
		if ownInterface(l, i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // gone meanwhile
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				subnets = append(subnets, prefix.Masked())
			}
		}
	}
	return subnets, nil
}

// homeNumber spreads homes over the pool; the same home always gets the same number.
func homeNumber(l host.Layout) int {
	sum := sha256.Sum256([]byte(l.Home))
	return int(sum[0])
}

// bridgeSubnet is the IPv4 subnet of a bridge that is there and has one.
func bridgeSubnet(name string) (netip.Prefix, bool) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Prefix{}, false
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return netip.Prefix{}, false
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			return prefix.Masked(), true
		}
	}
	return netip.Prefix{}, false
}
