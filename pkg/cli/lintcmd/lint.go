// Package lintcmd is the command line of `lint` and `image check`: what is checked, how findings are shown, and which exit code they come to.
//
// It is linked into linnet-lint alone. What the checks are stands in package lens; what they look at is collected by package gather.
package lintcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/gather"
)

const long = `lint checks Dockerfiles (Dockerfile, Dockerfile.*, *.Dockerfile, Containerfile), the directories that
they are built from, and compose files against what good practice asks: the questions of the Container
Build Lens, and BuildKit's own rules. It needs no engine and no network.

PATH is a directory, which is searched, a Dockerfile or a compose file; without one it is this directory.

A project says in .linnet/lens.yaml which checks it wants, and what it accepts. A Dockerfile accepts a
finding by a comment above an instruction: "# linnet ignore=ID reason". BuildKit's "# check=skip=ID"
counts, too. docs/lens.md has all checks.

Exit codes: 0 when nothing is found at or above the level of --fail-on; 1 when something is, or when
linnet cannot read what it is to check; 2 when linnet does not understand its command line.`

// Commands are the commands of linnet-lint, for cli.Main.
func Commands(env *cli.Env) []*cobra.Command {
	logrus.SetOutput(io.Discard) // what reads compose files warns of variables there
	return []*cobra.Command{newLint(env), newImage(env)}
}

type flags struct {
	format, failOn string
	list           bool
}

var (
	formats = []string{"text", "json", "sarif", "github"}
	failOns = []string{"error", "warning", "info", "none"}
)

func newLint(env *cli.Env) *cobra.Command {
	f := &flags{}
	c := &cobra.Command{
		Use: "lint [flags] [PATH...]", Short: "check Dockerfiles, build contexts and compose files", Long: long,
		Example: `  linnet lint
  linnet lint --fail-on warning services/api
  linnet lint --format sarif . > lint.sarif`,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), env, f, args) },
	}
	f.add(c)
	c.Flags().BoolVar(&f.list, "list", false, "list the checks")
	return c
}

// add declares the flags of all that checks.
func (f *flags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.format, "format", "text", "how findings are written: "+strings.Join(formats, ", "))
	c.Flags().StringVar(&f.failOn, "fail-on", "error", "from which level on the exit code is 1: "+strings.Join(failOns, ", "))
	for name, values := range map[string][]string{"format": formats, "fail-on": failOns} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // both flags are there
	}
}

// validate refuses what a command does not understand.
func (f *flags) validate(env *cli.Env, command string) error {
	if g := env.Global(); len(g) > 0 {
		return cli.Usage(fmt.Errorf("%s: %s: it has none of nerdctl's global flags", command, strings.Join(g, " ")), "leave it out")
	}
	if !slices.Contains(formats, f.format) {
		return cli.Usage(fmt.Errorf("%s: --format %q", command, f.format), "one of "+strings.Join(formats, ", "))
	}
	if !slices.Contains(failOns, f.failOn) {
		return cli.Usage(fmt.Errorf("%s: --fail-on %q", command, f.failOn), "one of "+strings.Join(failOns, ", "))
	}
	return nil
}

func run(ctx context.Context, env *cli.Env, f *flags, paths []string) error {
	if err := f.validate(env, "lint"); err != nil {
		return err
	}
	if f.list {
		return list(env.Streams().Out)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("finding the working directory: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	project, config, err := gather.Host{Dir: dir, Home: os.Getenv("HOME"), Environ: os.Environ(), Today: time.Now()}.Read(ctx, paths)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	return f.tell(env, lens.Run(project, config), looked(project))
}

// tell writes what was found in something, and comes to the exit code.
func (f *flags) tell(env *cli.Env, all []lens.Finding, of string) error {
	s := env.Streams()
	if err := write(s.Out, f.format, all, s.OutTerminal()); err != nil {
		return fmt.Errorf("writing the findings: %w", err)
	}
	if f.format == "text" && env.Progress() != "quiet" {
		fmt.Fprintln(s.Err, summary(of, all))
	}
	if level, ok := lens.ParseLevel(f.failOn); ok && lens.Worst(all) >= level {
		return cli.Silent(1)
	}
	return nil
}

func write(w io.Writer, format string, all []lens.Finding, terminal bool) error {
	switch format {
	case "json":
		return lens.JSON(w, all)
	case "sarif":
		return lens.SARIF(w, all, agent.Version)
	case "github":
		return lens.GitHub(w, all)
	}
	return lens.Text(w, all, terminal)
}

// looked says what of a project was looked at.
func looked(p *lens.Project) string {
	text := plural(len(p.Dockerfiles), "Dockerfile")
	if len(p.Compose) > 0 {
		text += " and " + plural(len(p.Compose), "compose file")
	}
	return text
}

// summary is one line: what was looked at, and how much was found.
func summary(of string, all []lens.Finding) string {
	number := map[lens.Level]int{}
	for _, f := range all {
		number[f.Level]++
	}
	if len(all) == 0 {
		return of + ": nothing found"
	}
	var parts []string
	for _, level := range []lens.Level{lens.Error, lens.Warning, lens.Info} {
		if n := number[level]; n > 0 {
			parts = append(parts, plural(n, level.String()))
		}
	}
	return of + ": " + strings.Join(parts, ", ")
}

func plural(n int, what string) string {
	if n != 1 && what != "info" {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// list has a line for each check.
func list(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range lens.Checks() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.ID, c.Level, strings.Join(c.Questions, " "), c.Title)
	}
	for _, id := range lens.RuleIDs {
		fmt.Fprintf(t, "%s\twarning\t%s\t%s\n", id, strings.Join(lens.QuestionsOf(id), " "), "a rule of BuildKit's")
	}
	return t.Flush()
}
