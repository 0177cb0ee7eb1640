package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/report"
)

// The groups of `linnet --help`.
const (
	groupOwn        = "own"
	groupCommands   = "commands"
	groupManagement = "management"
)

const rootLong = `linnet builds, runs and composes containers on this machine.

The engine (containerd, BuildKit and nerdctl, in pinned versions) is linnet's own: the first
command that needs it starts it. Commands that are not linnet's own are nerdctl's, with all
of nerdctl's flags.

Exit codes: a container's or nerdctl's own where one ran; 1 when linnet failed; 2 when it
does not understand its own command line.`

// run builds the tree and executes one command line.
func (a *app) run(args []string) error {
	root := a.newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(a.ctx)
	return a.explain(root, args, err)
}

func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "linnet", Short: "build, run and compose containers on this machine", Long: rootLong,
		SilenceUsage: true, SilenceErrors: true, TraverseChildren: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	root.SetIn(a.streams.In)
	root.SetOut(a.streams.Out)
	root.SetErr(a.streams.Err)
	// Forwarded commands parse nothing here, so these reach linnet's own commands only.
	flags := root.PersistentFlags()
	flags.BoolVar(&a.debug, "debug", false, "tell what linnet does (nerdctl's own: linnet nerdctl --debug)")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "show no progress")
	flags.StringVar(&a.progress, "progress", "auto", "how progress is shown: "+strings.Join(report.Formats(), ", "))
	flags.StringVar(&a.backend, "backend", "", "where containers run: auto, native or lima (default: the setting)")
	a.addNerdctlGlobals(root.Flags(), flags)
	root.AddGroup(
		&cobra.Group{ID: groupOwn, Title: "linnet's own:"},
		&cobra.Group{ID: groupCommands, Title: "Commands:"},
		&cobra.Group{ID: groupManagement, Title: "Management commands:"},
	)
	root.SetHelpCommandGroupID(groupOwn)
	root.SetCompletionCommandGroupID(groupOwn)
	for _, c := range []*cobra.Command{a.newEngine(), a.newEmulation(), a.newVersion(), a.newInfo(), a.newConfig(), a.newRaw(), a.newCompletion(root)} {
		c.GroupID = groupOwn
		root.AddCommand(c)
	}
	root.AddCommand(a.newLogin(flags), a.newLogout(flags))
	a.extend(root)
	a.addNerdctl(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err: err, hint: fmt.Sprintf("%s --help lists the flags", cmd.CommandPath())}
	})
	return root
}

// addNerdctlGlobals accepts nerdctl's global flags before the command, from its tables, and
// keeps them as they were typed. Names that linnet has itself are linnet's.
func (a *app) addNerdctlGlobals(flags, own *pflag.FlagSet) {
	for i := range nerdctl.Root().Flags {
		f := &nerdctl.Root().Flags[i]
		if !f.Persistent || f.Builtin || own.Lookup(f.Name) != nil || flags.Lookup(f.Name) != nil {
			continue
		}
		shorthand := f.Shorthand
		if shorthand != "" && (own.ShorthandLookup(shorthand) != nil || flags.ShorthandLookup(shorthand) != nil) {
			shorthand = ""
		}
		added := flags.VarPF(&typed{app: a, flag: f}, f.Name, shorthand, f.Usage)
		added.NoOptDefVal, added.Hidden = f.NoOpt, true
	}
}

// typed keeps a global flag of nerdctl's for the command line that is forwarded.
type typed struct {
	app  *app
	flag *nerdctl.Flag
}

func (t *typed) String() string { return "" }
func (t *typed) Type() string   { return t.flag.Type }
func (t *typed) Set(value string) error {
	t.app.global = append(t.app.global, "--"+t.flag.Name+"="+value)
	return nil
}

// explain puts cobra's errors into our words.
func (a *app) explain(root *cobra.Command, args []string, err error) error {
	if err == nil {
		return nil
	}
	if name, ok := unknownName(err); ok {
		return unknownCommand(root, name)
	}
	return err
}

func unknownName(err error) (string, bool) {
	rest, ok := strings.CutPrefix(err.Error(), `unknown command "`)
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, `"`)
	return name, ok
}

func unknownCommand(cmd *cobra.Command, name string) error {
	hint := cmd.CommandPath() + " --help lists the commands"
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	if near := nerdctl.Near(name, names); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", near[0])
	}
	what := "unknown command"
	if cmd.HasParent() {
		what = cmd.Name() + ": " + what
	}
	return &usageError{err: fmt.Errorf("%s %q", what, name), hint: hint}
}

// noArgs refuses positionals in the field's words.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &usageError{
		err:  fmt.Errorf("%s takes no arguments, got %q", strings.TrimPrefix(cmd.CommandPath(), "linnet "), args[0]),
		hint: cmd.CommandPath() + " --help",
	}
}

// group makes a command that only holds others.
func group(use, short string, aliases ...string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Aliases: aliases, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
}

var errNeedsForce = errors.New("not confirmed")
