//go:build linux

package engine

import (
	"crypto/sha512"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Of the rules in the chains that all users of the CNI plugins share, only those about a
// bridge or a container of this home are taken away.
func TestRulesOfThisHome(t *testing.T) {
	l, other := host.Layout{Home: "/home/ada/.linnet"}, host.Layout{Home: "/home/bob/.linnet"}
	leased := func(address, container string) lease {
		return lease{network: "bridge", address: netip.MustParseAddr(address), container: container}
	}
	found := traces{
		layout: l, bridges: true, names: []string{"bridge", "web"}, owned: []string{"default-runs"},
		leases:  []lease{leased("10.231.7.2", "default-0a1b"), leased("10.4.1.9", "default-0a1b"), leased("10.231.7.9", "default-runs"), leased("10.231.7.3", "")},
		results: []cniResult{{network: "web", container: "default-noted"}},
		taken:   []netip.Prefix{netip.MustParsePrefix("10.4.1.0/24")}, // a bridge of another program
		subnets: []netip.Prefix{netip.MustParsePrefix("10.231.7.0/24"), netip.MustParsePrefix("10.4.1.0/24")},
	}
	chain := func(prefix, network, container string) string {
		sum := sha512.Sum512([]byte(network + container))
		return (prefix + hex.EncodeToString(sum[:]))[:28]
	}
	bridge := func(name string) string {
		return "-A CNI-ISOLATION-STAGE-1 -i " + name + " ! -o " + name + ` -m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)" -j CNI-ISOLATION-STAGE-2`
	}
	container := func(id, end string) string {
		return `-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"bridge\" id: \"` + id + `\"" -m multiport --dports 80 -j CNI-DN-` + end
	}
	masquerade := func(from, to string) string {
		return "-A POSTROUTING -s " + from + ` -m comment --comment "name: \"bridge\" id: \"default-gone\"" -j ` + to
	}
	ours := []string{
		masquerade("10.231.7.6/32", "CNI-dd758293bd593babc3eac478"),
		bridge(bridgeName(l)),
		bridge(userBridge(l, "web")),
		container("default-0a1b", "fdfa573bb060027d500c6"),
		"-A CNI-FORWARD -d 10.231.7.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
		"-A CNI-FORWARD -s 10.231.7.2/32 -j ACCEPT",
		"-A CNI-FORWARD -s 10.231.7.20/32 -j ACCEPT", // its lease is gone
		"-A POSTROUTING -j " + chain("CNI-", "web", "default-noted"),
	}
	// Chains go with all that is in them.
	chains := []string{
		"CNI-dd758293bd593babc3eac478", "CNI-DN-fdfa573bb060027d500c6", chain("CNI-", "web", "default-noted"),
		chain("CNI-DN-", "web", "default-0a1b"), chain("CNI-", "bridge", "default-0a1b"), "CNI-DN-000000000000000000cc0",
	}
	inside := []string{
		// All but this was undone.
		"-A CNI-DN-000000000000000000cc0 -s 10.231.7.0/24 -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK",
		"-N " + chain("CNI-DN-", "web", "default-0a1b"), // made, and not called yet
		"-A " + chain("CNI-", "bridge", "default-0a1b") + " ! -d 224.0.0.0/4 -j MASQUERADE",
	}
	theirs := []string{
		masquerade("10.231.8.6/32", "CNI-dd758293bd593babc3eac478"),
		masquerade("10.4.1.9/32", "CNI-dd758293bd593babc3eac478"),
		masquerade("10.231.7.6/32", "MASQUERADE"),
		"-P INPUT ACCEPT",
		"-N CNI-FORWARD",
		bridge("nerdctl0"),
		bridge("br-0123456789ab"),
		bridge(bridgeName(other)),
		bridge(userBridge(other, "web")),
		container("default-0a1b2c", "c6346ba2b8a01a4fb845b"),
		container("k8s-0a1b", "a6346ba2b8a01a4fb845b"),
		"-A CNI-FORWARD -s 10.231.8.20/32 -j ACCEPT",
		"-A CNI-FORWARD -s 10.4.1.9/32 -j ACCEPT",
		"-A FORWARD -s 10.231.7.2/32 -j DROP",
		`-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN`,
		// Of our container that runs.
		"-N " + chain("CNI-", "bridge", "default-runs"),
		masquerade("10.231.7.9/32", chain("CNI-", "bridge", "default-runs")),
		container("default-runs", chain("", "bridge", "default-runs")[:21]),
		"-A " + chain("CNI-", "bridge", "default-runs") + ` -d 10.231.7.0/24 -m comment --comment "name: \"bridge\" id: \"default-runs\"" -j ACCEPT`,
		"-A CNI-FORWARD -s 10.231.7.9/32 -j ACCEPT",
		// Of no program that is known.
		"-N CNI-0000000000000000000000aa",
		`-A CNI-0000000000000000000000aa -d 10.231.8.0/24 -m comment --comment "name: \"bridge\" id: \"default-other\"" -j ACCEPT`,
		"-A CNI-DN-000000000000000000bb -s 10.4.1.0/24 -d 127.0.0.1/32 -p tcp -m tcp --dport 80 -j CNI-HOSTPORT-SETMARK",
	}
	var listing string
	for i := range max(len(ours), len(theirs)) {
		for _, list := range [][]string{theirs, ours} {
			if i < len(list) {
				listing += list[i] + "\n"
			}
		}
	}
	var got, want []string
	rules, goes := found.unowned(listing + strings.Join(inside, "\n"))
	for _, rule := range rules {
		got = append(got, strings.Join(rule, "|"))
	}
	for _, rule := range ours {
		want = append(want, strings.Join(ruleWords(rule)[1:], "|"))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	slices.Sort(goes)
	slices.Sort(chains)
	if !slices.Equal(goes, chains) {
		t.Errorf("chains\n%q\nwant\n%q", goes, chains)
	}
	// The engine only stops: its bridges stay, and so do their rules.
	found.bridges = false
	rules, _ = found.unowned(bridge(bridgeName(l)) + "\n" + bridge(userBridge(l, "web")))
	if len(rules) > 0 {
		t.Errorf("with the bridges there: %q", rules)
	}
}

func TestRuleWords(t *testing.T) {
	const rule = `-A X -m comment --comment "name: \"a b\" \\ ""x" --comment "" -j Y`
	const want = `-A|X|-m|comment|--comment|name: "a b" \ x|--comment||-j|Y`
	if got := strings.Join(ruleWords(rule), "|"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The kernel's limit for the name of an interface is 16 bytes with the final NUL (IFNAMSIZ).
func TestBridgeNamesFit(t *testing.T) {
	l := host.Layout{Home: "/home/ada/.linnet"}
	for _, name := range []string{bridgeName(l), userBridge(l, "a-network-with-a-long-name")} {
		if len(name) > 15 || !ownInterface(l, name) {
			t.Errorf("%s: too long, or not ours", name)
		}
	}
}
