//go:build linux

package engine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Of the rules in the chains that all users of the CNI plugins share, only those about a
// bridge or a container of this home are taken away.
func TestRulesOfThisHome(t *testing.T) {
	l, other := host.Layout{Home: "/home/ada/.linnet"}, host.Layout{Home: "/home/bob/.linnet"}
	found := traces{
		layout: l, containers: []string{"default-0a1b"}, addresses: []string{"10.231.7.2/32", "10.4.1.9/32"},
		taken:   []netip.Prefix{netip.MustParsePrefix("10.4.1.0/24")}, // a bridge of somebody else
		subnets: []netip.Prefix{netip.MustParsePrefix("10.231.7.0/24"), netip.MustParsePrefix("10.4.1.0/24")},
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
		"-A CNI-FORWARD -s 10.231.7.20/32 -j ACCEPT",
		"-A CNI-FORWARD -s 10.4.1.9/32 -j ACCEPT",
		"-A FORWARD -s 10.231.7.2/32 -j DROP",
		`-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN`,
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
	for _, rule := range found.rules(listing) {
		got = append(got, strings.Join(rule, "|"))
	}
	for _, rule := range ours {
		want = append(want, strings.Join(ruleWords(rule)[1:], "|"))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
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
