//go:build linux

package engine

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// What moby's dockerd leaves in the filter table, with a published port, and other programs' rules between it.
const dockerFilter = `-P INPUT ACCEPT
-P FORWARD ACCEPT
-N CNI-FORWARD
-N DOCKER
-N DOCKER-BRIDGE
-N DOCKER-CT
-N DOCKER-FORWARD
-N DOCKER-INTERNAL
-N DOCKER-USER
-N DOCKERISH
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A FORWARD -j DOCKERISH
-A DOCKER -d 10.231.9.2/32 ! -i lnd-0a1b2c3d -o lnd-0a1b2c3d -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i lnd-0a1b2c3d -o lnd-0a1b2c3d -j DROP
-A DOCKER-BRIDGE -o lnd-0a1b2c3d -j DOCKER
-A DOCKER-CT -o lnd-0a1b2c3d -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-INTERNAL
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i lnd-0a1b2c3d -j ACCEPT
-A CNI-FORWARD -s 10.231.7.2/32 -j ACCEPT
`

func ourDocker() dockerTraces {
	return dockerTraces{
		bridges: []string{"lnd-0a1b2c3d", "br-0123456789ab"},
		subnets: []netip.Prefix{netip.MustParsePrefix("10.231.9.0/24"), netip.MustParsePrefix("10.231.64.0/19")},
	}
}

func checkUnowned(t *testing.T, traces dockerTraces, listing string, rules, chains []string) {
	t.Helper()
	gotRules, gotChains := traces.unowned(listing)
	var got []string
	for _, rule := range gotRules {
		got = append(got, strings.Join(rule, " "))
	}
	if !slices.Equal(got, rules) {
		t.Errorf("rules\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(rules, "\n"))
	}
	if !slices.Equal(gotChains, chains) {
		t.Errorf("chains %q, want %q", gotChains, chains)
	}
}

func TestDockersChainsGoWithAllThatIsInThem(t *testing.T) {
	checkUnowned(t, ourDocker(), dockerFilter,
		[]string{"FORWARD -j DOCKER-USER", "FORWARD -j DOCKER-FORWARD"},
		[]string{"DOCKER", "DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD", "DOCKER-INTERNAL", "DOCKER-USER"})
}

func TestRulesThatAUserPutIntoDockersChainStay(t *testing.T) {
	checkUnowned(t, ourDocker(), dockerFilter+"-A DOCKER-USER -s 192.0.2.0/24 -j DROP\n",
		[]string{"FORWARD -j DOCKER-FORWARD"},
		[]string{"DOCKER", "DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD", "DOCKER-INTERNAL"})
}

// Another dockerd has the same chains: its rules tell, or it runs.
func TestOfChainsThatAnotherDockerdUsesOnlyOurRulesGo(t *testing.T) {
	ours := []string{
		"DOCKER -d 10.231.9.2/32 ! -i lnd-0a1b2c3d -o lnd-0a1b2c3d -p tcp -m tcp --dport 80 -j ACCEPT",
		"DOCKER ! -i lnd-0a1b2c3d -o lnd-0a1b2c3d -j DROP",
		"DOCKER-BRIDGE -o lnd-0a1b2c3d -j DOCKER",
		"DOCKER-CT -o lnd-0a1b2c3d -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
		"DOCKER-FORWARD -i lnd-0a1b2c3d -j ACCEPT",
	}
	checkUnowned(t, ourDocker(), dockerFilter+"-A DOCKER-BRIDGE -o docker0 -j DOCKER\n", ours, nil)
	shared := ourDocker()
	shared.shared = true
	checkUnowned(t, shared, dockerFilter, ours, nil)
}

func TestDockersRulesInTablesOfTheKernelsOwnChains(t *testing.T) {
	checkUnowned(t, ourDocker(), `-P PREROUTING ACCEPT
-N DOCKER
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.231.64.0/24 ! -o br-0123456789ab -j MASQUERADE
-A POSTROUTING -s 10.231.9.0/24 ! -o lnd-0a1b2c3d -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.231.7.2/32 -j CNI-0123456789abcdef01234567
-A DOCKER ! -i lnd-0a1b2c3d -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.231.9.2:80
`, []string{
		"PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
		"OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
		"POSTROUTING -s 10.231.64.0/24 ! -o br-0123456789ab -j MASQUERADE",
		"POSTROUTING -s 10.231.9.0/24 ! -o lnd-0a1b2c3d -j MASQUERADE",
	}, []string{"DOCKER"})
	published := ourDocker()
	published.ports = []dockerPort{{netip.MustParseAddr("127.0.0.1"), "tcp", "9090"}, {netip.MustParseAddr("192.0.2.1"), "tcp", "9091"}}
	checkUnowned(t, published, `-A PREROUTING -d 10.231.64.2/32 ! -i br-0123456789ab -j DROP
-A PREROUTING -d 10.231.7.2/32 -j DROP
-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 9090 -j DROP
-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 9091 -j DROP
-A PREROUTING -d 192.0.2.1/32 ! -i lo -p tcp -m tcp --dport 9091 -j DROP
`, []string{
		"PREROUTING -d 10.231.64.2/32 ! -i br-0123456789ab -j DROP",
		"PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 9090 -j DROP",
	}, nil)
}
