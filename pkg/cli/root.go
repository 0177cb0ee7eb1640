package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/route"
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

// run reads one command line and executes it: here, in nerdctl, or in another of the client's programs.
func (a *app) run(args []string) error {
	asked, words := asksAbout(args)
	line, err := route.Read(words)
	switch {
	case err != nil:
		return a.execute(args) // which says what is wrong
	case asked && line.Program == route.Compose:
		return a.execute(args) // about compose the tables know enough
	case !a.has(line.Program):
		return become(line.Program, args) // before anything that takes time
	case asked:
		last := args[1+len(words):]
		return a.execute(slices.Concat(args[:1], line.Words(), last))
	case line.Forwarded():
		inv, err := a.parseLine(line)
		if err != nil {
			return err
		}
		return a.forward(inv, nil)
	}
	return a.execute(line.Words())
}

// asksAbout reports whether a line asks for help about a command or for the completion of one, and returns the command's words;
// the word under the cursor is none of them.
func asksAbout(args []string) (asked bool, words []string) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case "help":
		return true, args[1:]
	case cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
		return true, args[1:max(1, len(args)-1)]
	}
	return false, args
}

// has reports whether this program has the commands of another, and not only nerdctl's and linnet's own.
func (a *app) has(p route.Program) bool { return p == "" || p == a.program }

// execute runs a command line in linnet's own tree.
func (a *app) execute(words []string) error {
	root := a.newRoot()
	root.SetArgs(words)
	return a.explain(root, words, root.ExecuteContext(a.ctx))
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
	flags.AddFlagSet(a.globalFlags())
	a.addNerdctlGlobals(flags)
	root.AddGroup(
		&cobra.Group{ID: groupOwn, Title: "linnet's own:"},
		&cobra.Group{ID: groupCommands, Title: "Commands:"},
		&cobra.Group{ID: groupManagement, Title: "Management commands:"},
	)
	root.SetHelpCommandGroupID(groupOwn)
	root.SetCompletionCommandGroupID(groupOwn)
	for _, c := range []*cobra.Command{a.newEngine(), a.newDocker(), a.newEmulation(), a.newVersion(), a.newInfo(), a.newDoctor(), a.newConfig(), a.newMigrate(), a.newRaw(), a.newCompletion(root), a.newUninstall()} {
		c.GroupID = groupOwn
		root.AddCommand(c)
	}
	root.AddCommand(a.newLogin(), a.newLogout())
	a.extend(root)
	a.addNerdctl(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usage(err, fmt.Sprintf("%s --help lists the flags", cmd.CommandPath()))
	})
	return root
}

// globalFlags are linnet's own. package route knows their names.
func (a *app) globalFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.BoolVar(&a.debug, "debug", a.debug, "tell what linnet does (nerdctl's own: linnet nerdctl --debug)")
	flags.BoolVarP(&a.quiet, "quiet", "q", a.quiet, "show no progress")
	flags.StringVar(&a.progress, "progress", cmp.Or(a.progress, "auto"), "how progress is shown: "+strings.Join(report.Formats(), ", "))
	flags.StringVar(&a.backend, "backend", a.backend, "where containers run: auto, native or lima (default: the setting)")
	return flags
}

// addNerdctlGlobals accepts nerdctl's global flags, from its tables, and
// keeps them as they were typed. Names that linnet has itself are linnet's.
func (a *app) addNerdctlGlobals(flags *pflag.FlagSet) {
	for i := range nerdctl.Root().Flags {
		f := &nerdctl.Root().Flags[i]
		if !f.Persistent || f.Builtin || flags.Lookup(f.Name) != nil {
			continue
		}
		added := flags.VarPF(&passthroughFlag{app: a, flag: f}, f.Name, "", f.Usage) // before a command, package route has read the shorthand
		added.NoOptDefVal, added.Hidden = f.NoOpt, true
	}
}

// passthroughFlag keeps a global flag of nerdctl's for the command line that is forwarded.
type passthroughFlag struct {
	app  *app
	flag *nerdctl.Flag
}

func (t *passthroughFlag) String() string { return "" }
func (t *passthroughFlag) Type() string   { return t.flag.Type }
func (t *passthroughFlag) Set(value string) error {
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
	return Usage(fmt.Errorf("%s %q", what, name), hint)
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
