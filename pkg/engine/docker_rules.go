//go:build linux

package engine

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// dockerTraces tells what a dockerd that has ended left in the kernel's packet filter: it takes none of its chains away itself.
type dockerTraces struct {
	bridges []string
	subnets []netip.Prefix
	// ports are those that containers published: what keeps other hosts from a loopback one names nothing else.
	ports []dockerPort
	// shared says that another dockerd may rely on the chains, which have the same names: only what is about the bridges and the
	// subnets is ours.
	shared bool
}

// dockerChain are the names of dockerd's chains (drivers/bridge/internal/iptabler of moby's libnetwork). Users put rules of
// their own into the last one.
var dockerChain = regexp.MustCompile(`^DOCKER(-FORWARD|-BRIDGE|-CT|-INTERNAL|-ISOLATION-STAGE-[12]|-USER)?$`)

const dockerUserChain = "DOCKER-USER"

// dockerTables are those in which dockerd has rules.
var dockerTables = []string{"filter", "nat", "raw"}

// remove removes the rules of dockerd, and no other program's.
func (t dockerTraces) remove(ctx context.Context, env []string) error {
	var errs []error
	for _, program := range []string{"iptables", "ip6tables"} {
		for _, table := range dockerTables {
			run := func(args ...string) (string, error) {
				return firewall(ctx, env, program, append([]string{"--table", table}, args...)...)
			}
			listing, err := run("--list-rules")
			if err != nil {
				continue // no such program or table: nothing was ever added
			}
			rules, chains := t.unowned(listing)
			for _, rule := range rules {
				_, err := run(append([]string{"--delete"}, rule...)...)
				errs = append(errs, err)
			}
			for _, option := range []string{"--flush", "--delete-chain"} { // one chain calls another
				for _, chain := range chains {
					_, err := run(option, chain)
					errs = append(errs, err)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// unowned picks dockerd's out of what iptables -S lists: rules, each as the words behind -A, and chains, with all that is in them.
func (t dockerTraces) unowned(listing string) (rules [][]string, chains []string) {
	var all [][]string
	var named []string
	users, others := false, t.shared
	for line := range strings.Lines(listing) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		words := ruleWords(rest)
		switch {
		case len(words) == 0:
		case kind == "-N" && dockerChain.MatchString(words[0]):
			named = append(named, words[0])
		case kind == "-A":
			all = append(all, words)
			ours := t.about(words)
			users = users || words[0] == dockerUserChain && !slices.Equal(words[1:], []string{"-j", "RETURN"})
			others = others || words[0] != dockerUserChain && dockerChain.MatchString(words[0]) && !ours && namesInterface(words)
		}
	}
	goes := func(chain string) bool {
		return !others && dockerChain.MatchString(chain) && (chain != dockerUserChain || !users)
	}
	for _, words := range all {
		switch chain := words[0]; {
		case goes(chain):
		case chain == dockerUserChain && users: // a user's
		case goes(words[len(words)-1]), t.about(words):
			rules = append(rules, words)
		}
	}
	return rules, slices.DeleteFunc(named, func(chain string) bool { return !goes(chain) })
}

// about reports whether a rule is about a bridge or an address of dockerd's.
func (t dockerTraces) about(words []string) bool {
	for i, word := range words[1:] {
		switch words[i] {
		case "-i", "-o":
			if slices.Contains(t.bridges, word) {
				return true
			}
		case "-s", "-d":
			prefix, err := netip.ParsePrefix(word)
			if err == nil && slices.ContainsFunc(t.subnets, func(s netip.Prefix) bool { return s.Bits() <= prefix.Bits() && s.Contains(prefix.Addr()) }) {
				return true
			}
		}
	}
	return t.guards(words)
}

// guards reports whether a rule keeps other hosts from a port that is published at a loopback address (port.go of iptabler).
func (t dockerTraces) guards(words []string) bool {
	return slices.ContainsFunc(t.ports, func(p dockerPort) bool {
		return p.address.IsLoopback() && slices.Equal(words, []string{
			"PREROUTING", "-d", netip.PrefixFrom(p.address, p.address.BitLen()).String(), "!", "-i", "lo",
			"-p", p.protocol, "-m", p.protocol, "--dport", p.port, "-j", "DROP",
		})
	})
}

// namesInterface reports whether a rule is about an interface, the loopback one aside.
func namesInterface(words []string) bool {
	for i, word := range words[1:] {
		if (words[i] == "-i" || words[i] == "-o") && word != "lo" {
			return true
		}
	}
	return false
}

// newDockerTraces looks at what this home's dockerd, which has ended, has made.
func newDockerTraces(l host.Layout) dockerTraces {
	t := dockerTraces{bridges: []string{dockerBridge(l)}}
	if n, ok := readDockerNetwork(l); ok {
		t.subnets = append(t.subnets, n.Subnet, n.Pool)
	}
	for _, n := range keptDockerNetworks(l) {
		if n.made() {
			t.bridges = append(t.bridges, n.BridgeName)
		}
		t.subnets = append(t.subnets, n.subnets()...)
	}
	for _, c := range keptDockerContainers(l) {
		t.ports = append(t.ports, c.ports()...)
	}
	_, t.shared = otherDocker(l)
	return t
}
