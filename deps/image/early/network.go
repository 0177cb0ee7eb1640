//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// network gives the first interface the address that Lima has for it: it is known, so no DHCP server has to be asked.
func network(c *cidata) error {
	hostname := c.meta.Hostname
	if err := syscall.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	err := errors.Join(
		write("/etc/hostname", hostname+"\n", 0o644),
		write("/etc/hosts", fmt.Sprintf("127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost ip6-loopback\n%s\thost.lima.internal\n", hostname, c.env["SLIRP_GATEWAY"]), 0o644),
	)
	if err != nil {
		return err
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("setting the loopback interface up: %w", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	for name, want := range c.network.Ethernets {
		for _, link := range links {
			if strings.EqualFold(link.Attrs().HardwareAddr.String(), want.Match.MAC) {
				if err := connect(c, name, want, link); err != nil {
					return fmt.Errorf("setting up %s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// connect sets up one interface. Only the first one that Lima makes has an address that is known.
func connect(c *cidata, name string, want nic, link netlink.Link) error {
	if link.Attrs().Name != name {
		if err := netlink.LinkSetName(link, name); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	if len(want.Nameservers.Addresses) == 0 {
		return nil
	}
	var resolv strings.Builder
	for _, server := range want.Nameservers.Addresses {
		fmt.Fprintf(&resolv, "nameserver %s\n", server)
	}
	if err := write("/etc/resolv.conf", resolv.String(), 0o644); err != nil {
		return err
	}
	address, gateway := net.ParseIP(c.env["SLIRP_IP_ADDRESS"]), net.ParseIP(c.env["SLIRP_GATEWAY"])
	if address == nil || gateway == nil {
		return fmt.Errorf("no address: LIMA_CIDATA_SLIRP_IP_ADDRESS=%q, LIMA_CIDATA_SLIRP_GATEWAY=%q", c.env["SLIRP_IP_ADDRESS"], c.env["SLIRP_GATEWAY"])
	}
	err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{IP: address, Mask: net.CIDRMask(24, 32)}})
	if err != nil {
		return fmt.Errorf("adding %s: %w", address, err)
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway}); err != nil {
		return fmt.Errorf("adding the route by %s: %w", gateway, err)
	}
	return nil
}

// redirectDNS sends questions for Lima's name server to the port of the host where Lima answers them.
// It makes what Lima's own script makes, chain and all, in one step.
func redirectDNS(ctx context.Context, c *cidata) error {
	var rules strings.Builder
	for protocol, port := range map[string]string{"udp": c.env["UDP_DNS_LOCAL_PORT"], "tcp": c.env["TCP_DNS_LOCAL_PORT"]} {
		if port != "" && port != "0" {
			fmt.Fprintf(&rules, "-A LIMADNS -d %s -p %s --dport 53 -j DNAT --to-destination %s:%s\n", c.env["SLIRP_DNS"], protocol, c.env["SLIRP_GATEWAY"], port)
		}
	}
	if rules.Len() == 0 {
		return nil
	}
	if err := exec.CommandContext(ctx, "iptables", "-t", "nat", "-n", "-L", "LIMADNS").Run(); err == nil {
		return nil
	}
	restore := exec.CommandContext(ctx, "iptables-restore", "--noflush")
	restore.Stdin = strings.NewReader("*nat\n:LIMADNS - [0:0]\n" + rules.String() +
		"-I PREROUTING -j LIMADNS\n-I OUTPUT -j LIMADNS\nCOMMIT\n")
	if out, err := restore.CombinedOutput(); err != nil {
		return fmt.Errorf("redirecting DNS: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// linkVirtioPorts gives the ports of the serial device their names, as udev would.
func linkVirtioPorts() error {
	ports, err := os.ReadDir("/sys/class/virtio-ports")
	if err != nil {
		return nil //nolint:nilerr // a machine without such a device, like vz's
	}
	if err := os.MkdirAll("/dev/virtio-ports", 0o755); err != nil {
		return err
	}
	for _, p := range ports {
		name, err := os.ReadFile("/sys/class/virtio-ports/" + p.Name() + "/name")
		if err != nil || len(bytes.TrimSpace(name)) == 0 {
			continue
		}
		err = os.Symlink("../"+p.Name(), "/dev/virtio-ports/"+string(bytes.TrimSpace(name)))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
