//go:build linux

package engine

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// The chains in which the CNI plugin firewall keeps bridges apart. It adds rules for each
// bridge and never removes them: neither with the last container nor with the network.
var isolationChains = []string{"CNI-ISOLATION-STAGE-1", "CNI-ISOLATION-STAGE-2"}

// removeRules removes the rules about the bridges of this home, those of networks that are
// long gone included.
func removeRules(ctx context.Context, l host.Layout, env []string) error {
	for _, program := range []string{"iptables", "ip6tables"} {
		for _, chain := range isolationChains {
			listing, err := firewall(ctx, env, program, "-S", chain)
			if err != nil {
				continue // no such chain, or no such program: nothing was ever added
			}
			for _, rule := range rulesAbout(listing, func(name string) bool { return ownInterface(l, name) }) {
				if _, err := firewall(ctx, env, program, append([]string{"-D"}, rule...)...); err != nil {
					return fmt.Errorf("removing a firewall rule: %w", err)
				}
			}
		}
	}
	return nil
}

// rulesAbout picks the rules that name an interface of ours out of what iptables -S lists,
// each as the words behind -A.
func rulesAbout(listing string, ours func(name string) bool) (rules [][]string) {
	for line := range strings.Lines(listing) {
		rule, ok := strings.CutPrefix(strings.TrimSpace(line), "-A ")
		if !ok {
			continue
		}
		// Quotes stand around comments only, and those of these chains hold no quotes.
		var words []string
		for i, part := range strings.Split(rule, `"`) {
			if i%2 == 1 {
				words = append(words, part)
			} else {
				words = append(words, strings.Fields(part)...)
			}
		}
		for i, word := range words[1:] {
			if (words[i] == "-i" || words[i] == "-o") && ours(word) {
				rules = append(rules, words)
				break
			}
		}
	}
	return rules
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
