package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/route"
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
				inv, err := a.parse(append([]string{c.Name}, args...))
				if err != nil {
					return err
				}
				return a.forward(inv, nil)
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

// parse reads a command line of nerdctl's with the global flags that were typed before it.
func (a *app) parse(words []string) (*nerdctl.Invocation, error) {
	line, err := route.Read(append(slices.Clone(a.global), words...))
	if err != nil {
		return nil, &forwardError{err}
	}
	return a.parseLine(line)
}

// parseLine reads the rest of a line; linnet's own flags in it count from here on.
func (a *app) parseLine(line *route.Line) (*nerdctl.Invocation, error) {
	inv, own, err := line.Parse()
	if err != nil {
		return nil, &forwardError{err}
	}
	flags := a.globalFlags()
	for _, v := range own {
		if err := flags.Set(v.Name(), v.Value); err != nil {
			return nil, Usage(fmt.Errorf("--%s: %w", v.Name(), err), "linnet --help lists the flags")
		}
	}
	return inv, nil
}

// forward runs a nerdctl command line in the guest. registries are those that its files name; nil where they were not looked at.
func (a *app) forward(inv *nerdctl.Invocation, registries []string) error {
	if inv.Help {
		_, err := fmt.Fprint(a.streams.Out, nerdctl.Help(inv.Command, "linnet"))
		return err
	}
	if isSystemPrune(inv) {
		return a.systemPrune(inv)
	}
	c, err := a.Client()
	if err != nil {
		return err
	}
	a.log.Debugf("forwarding %q", inv.Path) // never values: they may be secret
	return c.Exec(a.ctx, inv, registries)
}

// forwardError is a command line that nerdctl would not accept either.
type forwardError struct{ err error }

func (e *forwardError) Error() string { return e.err.Error() }
func (e *forwardError) Unwrap() error { return e.err }

func (e *forwardError) Hint() string {
	if fix := hint.Of(e.err); fix != "" {
		return fix
	}
	return strings.Join(append([]string{"linnet"}, nerdctl.PathOf(e.err)...), " ") + " --help"
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
			c, err := a.Client()
			if err != nil {
				return err
			}
			return c.Nerdctl(a.ctx, args)
		},
	}
}
