// Package buildcmd is the command line of builds: `build` with docker's and nerdctl's flags.
//
// It is linked into linnet-build, and into linnet-compose for what the two share, since what it stands
// on takes long to start. It turns flags into options.Options, and files and exit codes out of what comes
// back; what a build is stands in package build.
package buildcmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/settings"
)

const long = `build builds an image from a Dockerfile and a context: a directory, an address of git or http,
or - for a tar archive or a Dockerfile on standard input.

The result goes into the engine's image store, where run finds it. Contexts, secrets, SSH agents and
registry credentials stay on this machine and are streamed as the build asks for them.

All of docker's and nerdctl's flags are taken. ` + "`linnet nerdctl build`" + ` is nerdctl's own.

Exit codes: 0 when it was built; 1 when it was not, or when --check has found something; 2 when
linnet does not understand its command line; 130 after Ctrl-C and 143 after SIGTERM.`

// Commands are the commands of builds, for cli.Main.
func Commands(env *cli.Env) []*cobra.Command {
	Quiet()
	return []*cobra.Command{newBuild(env), newCache(env), newSystem(env)}
}

func newBuild(env *cli.Env) *cobra.Command {
	v := &values{}
	c := &cobra.Command{
		Use: "build [flags] PATH | URL | -", Short: "Build an image from a Dockerfile", Long: long,
		Example: `  linnet build -t app .
  linnet build -t app --secret id=npm,src=~/.npmrc --platform linux/amd64,linux/arm64 .
  linnet build --target test --output type=local,dest=./reports .
  linnet build --check .`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			if len(args) == 0 {
				return cli.Usage(errors.New("build: the build context is missing"), "name a directory, such as . for this one")
			}
			return cli.Usage(fmt.Errorf("build: %w, got %q", errContext, args), "linnet build --help")
		},
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd, env, v, args[0]) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	v.add(c.Flags())
	return c
}

func run(cmd *cobra.Command, env *cli.Env, v *values, context string) error {
	if g := env.Global(); len(g) > 0 {
		return cli.Usage(fmt.Errorf("build: %s: a build has none of nerdctl's global flags", strings.Join(g, " ")), "leave it out, or: linnet nerdctl "+strings.Join(g, " ")+" build ...")
	}
	h, err := Host(env)
	if err != nil {
		return err
	}
	o, err := v.options(h, context)
	if err != nil {
		return err
	}
	s, err := env.Settings()
	if err != nil {
		return err
	}
	o.Project = string(s.Build.Project)
	o.Identify(h, s.Build.CacheMounts == settings.MountsShared)
	question, asJSON, ignore, err := options.ParseCall(v.call)
	if err != nil {
		return err
	}
	if v.check {
		question = "check"
	}
	mode := v.mode(env, h, cmd.Flags().Changed("progress"))
	display, err := build.NewDisplay(env.Streams().Err, mode)
	if err != nil {
		return err
	}
	if err := v.warn(env, o); err != nil {
		return err
	}
	ctx, stop := Interruptible(cmd.Context())
	defer stop()
	session, tell, err := NewSession(env)
	if err != nil {
		return err
	}
	defer tell()
	if err := forget(h, v.iidfile); err != nil {
		return err
	}
	if question != "" {
		a, err := session.Ask(ctx, o, question)
		if err != nil {
			return Ended(ctx, err)
		}
		return tellAnswer(env.Streams(), question, a, asJSON, ignore)
	}
	result, err := session.Build(ctx, o, display)
	if err != nil {
		return Ended(ctx, err)
	}
	return v.tell(env, h, mode, result)
}

// mode is how progress is shown, in the words of build.NewDisplay.
func (v *values) mode(env *cli.Env, h options.Host, typed bool) string {
	switch own, _ := h.LookupEnv("BUILDKIT_PROGRESS"); {
	case v.quiet:
		return "quiet"
	case typed:
		return v.progress
	case own != "" && Progress(env) == "auto":
		return own // as for docker
	}
	return Progress(env)
}

// warn tells of flags that mean nothing, and refuses an archive on a terminal.
func (v *values) warn(env *cli.Env, o options.Options) error {
	s := env.Streams()
	for _, w := range append(v.warnings(), o.Remarks()...) {
		fmt.Fprintln(s.Err, "warning:", w)
	}
	for _, out := range o.Outputs {
		if out.Dest == "-" && s.OutTerminal() {
			return cli.Usage(errors.New("--output: an archive is not for a terminal"), "name a file: dest=FILE, or redirect standard output")
		}
	}
	return nil
}
