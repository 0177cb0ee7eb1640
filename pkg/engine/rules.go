//go:build linux

package engine

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// traces tells what the CNI plugins left of this home's networks outside of it. They add two
// rules for each bridge and remove them never, and the rules of a container stay when it is
// killed so that its hooks cannot be run.
type traces struct {
	layout  host.Layout
	leases  []lease
	results []cniResult
	// owned are the CNI names of the containers that run: nothing of theirs is touched.
	owned []string
	// kept are the CNI names of the containers that nerdctl keeps, running or not.
	kept []string
	// bridges is set when the bridges' own rules are meant as well.
	bridges bool
	// names and subnets are those of our networks, taken the subnets that others' interfaces have: a
	// container that never came to run can leave rules behind when its lease is gone.
	names          []string
	subnets, taken []netip.Prefix
}

// newTraces looks; owned and bridges are the caller's to set.
func newTraces(l host.Layout) (traces, error) {
	t := traces{layout: l, results: results(l)}
	for _, path := range keptContainers(l) {
		t.kept = append(t.kept, cniName(path))
	}
	var err error
	if t.leases, err = leases(l); err != nil {
		return t, err
	}
	t.names, t.subnets = networks{layout: l}.namesAndSubnets()
	t.taken, err = othersSubnets(l)
	return t, err
}

// removeRules removes the rules, and no other program's.
func (t traces) removeRules(ctx context.Context, env []string) error {
	var errs []error
	for _, program := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"filter", "nat"} {
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
			for _, chain := range chains {
				_, flushing := run("--flush", chain)
				_, deleting := run("--delete-chain", chain)
				errs = append(errs, flushing, deleting)
			}
		}
	}
	return errors.Join(errs...)
}

// ofOneContainer are the chains for the address and for the ports of one container.
var ofOneContainer = regexp.MustCompile(`^CNI-(DN-)?[0-9a-f]{20,}$`)

// unowned picks ours out of what iptables -S lists: rules, each as the words behind -A, and the chains of
// one container each, with all that is in them.
func (t traces) unowned(listing string) (rules [][]string, chains []string) {
	ours, running := t.chainsOf(false), t.chainsOf(true)
	gone := func(chain string) {
		if ofOneContainer.MatchString(chain) && !running[chain] && !slices.Contains(chains, chain) {
			chains = append(chains, chain)
		}
	}
	for line := range strings.Lines(listing) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		words := ruleWords(rest)
		if len(words) == 0 {
			continue
		}
		chain, to := words[0], words[len(words)-1]
		switch {
		case running[chain] || running[to]:
		case kind == "-N" && ours[chain]:
			gone(chain)
		case kind == "-A" && ofOneContainer.MatchString(chain):
			if ours[chain] || t.about(words) {
				gone(chain)
			}
		case kind == "-A" && (ours[to] || t.about(words)):
			rules = append(rules, words)
			gone(to)
		}
	}
	return rules, chains
}

// about reports whether a rule is about a container of ours that does not run, or a bridge.
func (t traces) about(words []string) bool {
	if t.masquerades(words) {
		return true
	}
	for i, word := range words[1:] {
		if t.named(words[0], words[i], word) {
			return true
		}
	}
	return false
}

// chainsOf are the names that the plugins give to the chains of the containers that run, or that do not: made of
// a network's name and a container's (pkg/utils of containernetworking/plugins).
func (t traces) chainsOf(running bool) map[string]bool {
	chains := map[string]bool{}
	add := func(network, container string) {
		if container != "" && slices.Contains(t.owned, container) == running {
			sum := sha512.Sum512([]byte(network + container))
			for _, prefix := range []string{"CNI-", "CNI-DN-"} {
				chains[(prefix + hex.EncodeToString(sum[:]))[:chainLength]] = true
			}
		}
	}
	names := slices.Clone(t.names)
	containers := slices.Clone(t.owned)
	containers = append(containers, t.kept...)
	for _, a := range t.leases {
		names, containers = append(names, a.network), append(containers, a.container)
	}
	for _, r := range t.results {
		names, containers = append(names, r.network), append(containers, r.container)
	}
	slices.Sort(names)
	slices.Sort(containers)
	for _, network := range slices.Compact(names) {
		for _, container := range slices.Compact(slices.Clone(containers)) {
			add(network, container)
		}
	}
	return chains
}

// chainLength is how long the plugins make such a name.
const chainLength = 28

// masquerades reports whether a rule sends the packets of an address of ours, which no container has
// that runs, to a container's own chain.
func (t traces) masquerades(rule []string) bool {
	at := slices.Index(rule, "-s")
	return rule[0] == "POSTROUTING" && ofOneContainer.MatchString(rule[len(rule)-1]) && at >= 0 && t.free(rule[at+1])
}

// free reports whether an address is one of our networks, of no other program's, and of no container that runs.
func (t traces) free(address string) bool {
	prefix, err := netip.ParsePrefix(address)
	return err == nil && prefix.IsSingleIP() && slices.ContainsFunc(t.subnets, prefix.Overlaps) &&
		!slices.ContainsFunc(t.taken, prefix.Overlaps) &&
		!slices.ContainsFunc(t.leases, func(a lease) bool {
			return a.address == prefix.Addr() && slices.Contains(t.owned, a.container)
		})
}

// freeSubnet reports whether a subnet is one of our networks, and of no other program's.
func (t traces) freeSubnet(text string) bool {
	prefix, err := netip.ParsePrefix(text)
	return err == nil && slices.Contains(t.subnets, prefix) && !slices.ContainsFunc(t.taken, prefix.Overlaps)
}

// named reports whether an option of a rule in a chain names something of ours.
func (t traces) named(chain, option, value string) bool {
	switch option {
	case "-i", "-o":
		return t.bridges && ownInterface(t.layout, value)
	case "--comment":
		_, id, ok := strings.Cut(value, ` id: "`)
		id = strings.TrimSuffix(id, `"`)
		return ok && !slices.Contains(t.owned, id) &&
			(slices.ContainsFunc(t.leases, func(a lease) bool { return a.container == id }) ||
				slices.ContainsFunc(t.results, func(r cniResult) bool { return r.container == id }))
	case "-s", "-d":
		// These rules tell the address and nothing more.
		return chain == "CNI-FORWARD" && t.free(value) || ofOneContainer.MatchString(chain) && t.freeSubnet(value)
	}
	return false
}

// ruleWords splits a rule as iptables -S writes it: words, some in double quotes, in which a
// backslash takes the next character as it is.
func ruleWords(rule string) []string {
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(rule); i++ {
		switch c := rule[i]; {
		case c == '"':
			quoted, begun = !quoted, true
		case c == '\\' && quoted && i+1 < len(rule):
			i++
			word.WriteByte(rule[i])
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

func firewall(ctx context.Context, env []string, program string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	code, err := host.Run(ctx, host.Command{
		// Another program that changes the rules holds a lock meanwhile.
		Argv: append([]string{program, "--wait", "10"}, args...), Env: env, Dir: "/", Stdout: &out, Stderr: &errs,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s %s: %s", program, strings.Join(args, " "), strings.TrimSpace(errs.String()))
	}
	return out.String(), err
}
