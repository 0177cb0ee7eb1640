package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/forward"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/registry"
)

// addNerdctl adds nerdctl's top-level commands, from its tables. Below them it is nerdctl's
// own grammar that counts, so cobra parses nothing there. A name that linnet has itself is
// not replaced.
func (a *app) addNerdctl(root *cobra.Command) {
	for _, c := range nerdctl.Root().Commands {
		if c.Name == "help" || c.Name == "completion" {
			continue // linnet's own speak of linnet
		}
		if found, _, err := root.Find([]string{c.Name}); err == nil && found != root {
			continue
		}
		cmd := &cobra.Command{
			Use: c.Name, Aliases: c.Aliases, Hidden: c.Hidden,
			Short:              nerdctl.Rename(c.Short, "linnet"),
			DisableFlagParsing: true, GroupID: groupCommands,
			RunE: func(_ *cobra.Command, args []string) error {
				return a.forward(append([]string{c.Name}, args...))
			},
			ValidArgsFunction: a.completeNerdctl(c.Name),
		}
		if c.Management {
			cmd.GroupID = groupManagement
		}
		cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
			_, _ = fmt.Fprint(cmd.OutOrStdout(), nerdctl.Help(nerdctl.Root().Find(c.Name), "linnet"))
		})
		root.AddCommand(cmd)
	}
}

// forward runs a nerdctl command line in the guest.
func (a *app) forward(words []string) error {
	if own, ok := ownWords(words); ok {
		return a.own(a.ctx, own)
	}
	return a.forwardAsIs(words)
}

func (a *app) forwardAsIs(words []string) error { return a.forwardNaming(words, nil) }

// forwardNaming is forwardAsIs for a line whose files name these registries; nil where nobody has
// looked.
func (a *app) forwardNaming(words, registries []string) error {
	inv, err := nerdctl.Parse(append(append([]string(nil), a.global...), words...))
	if err != nil {
		return &forwardError{err: err, words: words}
	}
	if inv.Help {
		_, err := fmt.Fprint(a.streams.Out, nerdctl.Help(inv.Command, "linnet"))
		return err
	}
	if isSystemPrune(inv.Path) {
		return a.systemPrune(inv)
	}
	g, err := a.Engine()
	if err != nil {
		return err
	}
	a.log.Debugf("forwarding %q", inv.Path) // never values: they may be secret
	if err := a.emulateFor(inv); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("finding the working directory: %w", err)
	}
	grant := a.grantFor(inv, registries)
	defer a.tellRefused(grant)
	return forward.Run(a.ctx, forward.Options{
		Guest: g, Invocation: inv, Streams: a.streams,
		Environ: os.Environ(), Dir: dir, Home: os.Getenv("HOME"), Done: a.closeReport,
		Credentials: credentials(grant),
	})
}

// closeReport takes the live line away before another program has the terminal.
func (a *app) closeReport() {
	if a.report != nil {
		a.report.Close()
		a.report = nil
	}
}

// forwardError is a command line that nerdctl would not accept either.
type forwardError struct {
	err   error
	words []string
}

func (e *forwardError) Error() string { return e.err.Error() }
func (e *forwardError) Unwrap() error { return e.err }

func (e *forwardError) Hint() string {
	var hinted interface{ Hint() string }
	if errors.As(e.err, &hinted) && hinted.Hint() != "" {
		return hinted.Hint()
	}
	var path []string
	c := nerdctl.Root()
	for _, w := range e.words {
		next := c.Find(w)
		if next == nil {
			break
		}
		c = next
		path = append(path, w)
	}
	return fmt.Sprintf("linnet %s --help", strings.Join(path, " "))
}

// newRaw is the way through to nerdctl with nothing looked at.
func (a *app) newRaw() *cobra.Command {
	return &cobra.Command{
		Use:   "nerdctl ARGS...",
		Short: "run the engine's nerdctl with exactly these arguments",
		Long: `nerdctl hands everything behind it to the pinned nerdctl, pointed at the engine, and
changes nothing: no path, no environment variable, no flag. The exit code is nerdctl's.`,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			g, err := a.Engine()
			if err != nil {
				return err
			}
			if err := forward.Ready(a.ctx, g, nerdctl.MayBuild(args)); err != nil {
				return err
			}
			a.closeReport()
			var grant *registry.Grant
			if inv, err := nerdctl.Parse(args); err == nil { // else nerdctl refuses it, too
				grant = a.grantFor(inv, nil)
			}
			defer a.tellRefused(grant)
			return forward.Process(a.ctx, g, a.streams, guest.Process{
				Argv: append([]string{"nerdctl"}, args...), Credentials: credentials(grant),
			})
		},
	}
}
