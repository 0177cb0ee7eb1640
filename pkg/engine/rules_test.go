//go:build linux

package engine

import (
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Of the rules in the chains that all users of the CNI plugins share, only those about a
// bridge of this home are taken away.
func TestRulesAboutOurBridges(t *testing.T) {
	l := host.Layout{Home: "/home/ada/.linnet"}
	other := host.Layout{Home: "/home/bob/.linnet"}
	const comment = `-m comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge)"`
	listing := "-N CNI-ISOLATION-STAGE-1\n"
	for _, bridge := range []string{"nerdctl0", bridgeName(l), bridgeName(other), userBridge(other, "web"), userBridge(l, "web"), "br-0123456789ab"} {
		listing += "-A CNI-ISOLATION-STAGE-1 -i " + bridge + " ! -o " + bridge + " " + comment + " -j CNI-ISOLATION-STAGE-2\n"
	}
	listing += "-A CNI-ISOLATION-STAGE-1 " + comment + " -j RETURN\n"
	rules := rulesAbout(listing, func(name string) bool { return ownInterface(l, name) })
	var got []string
	for _, rule := range rules {
		got = append(got, strings.Join(rule, "|"))
	}
	var want []string
	for _, bridge := range []string{bridgeName(l), userBridge(l, "web")} {
		want = append(want, "CNI-ISOLATION-STAGE-1|-i|"+bridge+"|!|-o|"+bridge+
			"|-m|comment|--comment|CNI firewall plugin rules (ingressPolicy: same-bridge)|-j|CNI-ISOLATION-STAGE-2")
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{bridgeName(l), userBridge(l, "a-network-with-a-long-name")} {
		if len(name) > 15 { // IFNAMSIZ, with the final NUL, is 16
			t.Errorf("%s is too long for an interface", name)
		}
	}
}
