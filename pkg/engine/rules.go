//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// cniResults is where CNI's library notes what it gave to each container, of every engine.
const cniResults = "/var/lib/cni/results"

// traces tells what the CNI plugins left of this home's networks outside of it. They add two
// rules for each bridge and remove them never, and the rules of a container stay when it is
// killed so that nobody can run its hooks.
type traces struct {
	layout host.Layout
	// containers are the CNI names of those that still have a lease, addresses what they
	// lease, and taken the subnets that this host's interfaces have.
	containers, addresses []string
	taken                 []netip.Prefix
	// subnets are those of our networks: a container that never came to run can leave its
	// masquerading behind when its lease is gone.
	subnets []netip.Prefix
}

// newTraces is for when our interfaces are gone and our leases are still there.
func newTraces(l host.Layout) (traces, error) {
	t := traces{layout: l, subnets: networks{layout: l}.subnets()}
	files, err := filepath.Glob(filepath.Join(l.Leases(), "*", "*"))
	if err != nil {
		return t, err
	}
	for _, file := range files {
		address, err := netip.ParseAddr(filepath.Base(file))
		if err != nil {
			continue // a lock, or the last address given out
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return t, fmt.Errorf("reading a lease: %w", err)
		}
		// host-local writes the container and its interface, a line each.
		if lines := strings.Fields(string(text)); len(lines) > 0 {
			t.containers = append(t.containers, lines[0])
			t.addresses = append(t.addresses, netip.PrefixFrom(address, address.BitLen()).String())
		}
	}
	t.taken, err = usedSubnets()
	return t, err
}

// remove removes them, and nobody else's.
func (t traces) remove(ctx context.Context, env []string) error {
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
			var chains []string
			for _, rule := range t.rules(listing) {
				_, err := run(append([]string{"--delete"}, rule...)...)
				errs = append(errs, err)
				if to := rule[len(rule)-1]; ofOneContainer.MatchString(to) && !slices.Contains(chains, to) {
					chains = append(chains, to)
				}
			}
			for _, chain := range chains {
				_, flushing := run("--flush", chain)
				_, deleting := run("--delete-chain", chain)
				errs = append(errs, flushing, deleting)
			}
		}
	}
	for _, id := range t.containers {
		notes, err := filepath.Glob(filepath.Join(cniResults, "*-"+id+"-*"))
		errs = append(errs, err)
		for _, note := range notes {
			if err := os.Remove(note); !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what the networks left: %w", err)
	}
	return nil
}

// ofOneContainer are the chains for the address and for the ports of one container.
var ofOneContainer = regexp.MustCompile(`^CNI-(DN-)?[0-9a-f]{20,}$`)

// rules picks ours out of what iptables -S lists, each as the words behind -A.
func (t traces) rules(listing string) (rules [][]string) {
	for line := range strings.Lines(listing) {
		rule, ok := strings.CutPrefix(strings.TrimSpace(line), "-A ")
		if !ok {
			continue
		}
		words := ruleWords(rule)
		if t.masquerades(words) {
			rules = append(rules, words)
			continue
		}
		for i, word := range words[1:] {
			if t.names(words[0], words[i], word) {
				rules = append(rules, words)
				break
			}
		}
	}
	return rules
}

// masquerades says whether a rule sends the packets of an address of ours to a container's own
// chain, and nobody else's bridge has that address.
func (t traces) masquerades(rule []string) bool {
	at := slices.Index(rule, "-s")
	if rule[0] != "POSTROUTING" || !ofOneContainer.MatchString(rule[len(rule)-1]) || at < 0 {
		return false
	}
	from, err := netip.ParsePrefix(rule[at+1])
	return err == nil && slices.ContainsFunc(t.subnets, from.Overlaps) && !slices.ContainsFunc(t.taken, from.Overlaps)
}

// names says whether an option of a rule in a chain names something of ours.
func (t traces) names(chain, option, value string) bool {
	switch option {
	case "-i", "-o":
		return ownInterface(t.layout, value)
	case "--comment":
		_, id, ok := strings.Cut(value, ` id: "`)
		return ok && slices.Contains(t.containers, strings.TrimSuffix(id, `"`))
	case "-s", "-d":
		// These rules tell the address and nothing more, so they are only ours when nobody
		// else's bridge has the same network.
		prefix, err := netip.ParsePrefix(value)
		return chain == "CNI-FORWARD" && slices.Contains(t.addresses, value) && err == nil &&
			!slices.ContainsFunc(t.taken, prefix.Overlaps)
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
