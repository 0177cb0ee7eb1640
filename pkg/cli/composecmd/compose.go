// Package composecmd is the command line of compose where builds are concerned: `compose build`,
// and what may build before it runs something.
//
// It is linked into linnet-compose alone, since what reads compose files takes long to load. What
// there is to build stands in package compose, and how one is built in package build; everything
// else that compose does is nerdctl's, and forwarded.
package composecmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/buildcmd"
	"github.com/linnet-dev/linnet/pkg/compose"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/route"
)

// Commands are the commands of compose, for cli.Main.
func Commands(env *cli.Env) []*cobra.Command {
	buildcmd.Quiet()
	return []*cobra.Command{newCompose(env)}
}

// newCompose has nerdctl's commands, too: they are forwarded.
func newCompose(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: "compose", Short: "Compose", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			words := append([]string{"compose"}, args...)
			line, err := route.Read(words)
			if err == nil && slices.Equal(line.Path(), []string{"compose", "build"}) {
				return buildTree(cmd.Context(), env, words)
			}
			inv, err := env.Parse(words)
			if err != nil {
				return err
			}
			switch {
			case inv.Help || slices.Contains(inv.Strings("file"), "-"):
			case nerdctl.Key(inv.Path) == "compose pull", nerdctl.Key(inv.Path) == "compose push":
				return forwardNaming(cmd.Context(), env, inv)
			case len(inv.Globals()) == 0: // a build has none of nerdctl's
				return runBuilt(cmd.Context(), env, inv)
			}
			return env.Forward(inv, nil)
		},
	}
}

// runBuilt builds the images that are missing, or all with --build, and then lets nerdctl do
// what it was asked for, but for building.
func runBuilt(ctx context.Context, env *cli.Env, inv *nerdctl.Invocation) error {
	h, err := buildcmd.Host(env)
	if err != nil {
		return err
	}
	defer redirectLogrus(io.Discard)() // nerdctl reads the same files, and says it
	project, err := load(ctx, inv)
	if err != nil {
		return err
	}
	named, alone := inv.Args, false
	if inv.Path[1] == "run" {
		named, alone = inv.Args[:1], inv.Bool("no-deps")
	}
	wanted := compose.Wanted{Services: named, Dependencies: !alone, Dir: h.Dir}
	plan, err := project.Plan(wanted)
	if err != nil {
		return err
	}
	told, err := ensureEmulation(ctx, env, project.Platforms(wanted))
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		return env.Forward(inv, registries(project))
	}
	over, err := prebuild(ctx, env, inv, project, plan, told)
	if err != nil {
		return err
	}
	inv.Remove("build")
	if over != "" {
		setFiles(inv, append(project.Files(), over))
	}
	return env.Forward(inv, registries(project))
}

// prebuild builds what of a plan is missing, or all with --build, and returns the compose file that is laid over the project's
// for a compose that builds nothing; "" where nerdctl reads the files as they are.
func prebuild(ctx context.Context, env *cli.Env, inv *nerdctl.Invocation, project *compose.Project, plan []compose.Build, told map[string]string) (over string, err error) {
	ctx, stop := buildcmd.Interruptible(ctx)
	defer stop()
	b, err := newBuilds(env, project)
	if err != nil {
		return "", err
	}
	b.told = told
	there, err := b.digests(ctx, plan)
	if err != nil {
		return "", buildcmd.Ended(ctx, err)
	}
	if !inv.Bool("build") {
		done := func(p compose.Build) bool { return there[p.Image] != "" && !p.Always || inv.Bool("no-build") }
		plan = compose.Without(plan, done)
	}
	if len(plan) > 0 {
		if err := b.run(ctx, plan, buildcmd.Progress(env)); err != nil {
			return "", err
		}
		built, err := b.digests(ctx, plan)
		if err != nil {
			return "", buildcmd.Ended(ctx, err)
		}
		maps.Copy(there, built)
	}
	if over, err = b.override(there); err != nil {
		return "", err
	}
	if _, err := b.session.Guest.Path(over); err != nil {
		return "", nil // the guest does not see it: nerdctl reads the files as they are
	}
	return over, nil
}

// forwardNaming has nerdctl do what it was asked for, with the credentials of the registries that
// the project names.
func forwardNaming(ctx context.Context, env *cli.Env, inv *nerdctl.Invocation) error {
	done := redirectLogrus(io.Discard) // nerdctl reads the same files, and says what is wrong with them
	project, err := load(ctx, inv)
	done()
	if err != nil {
		return env.Forward(inv, nil)
	}
	return env.Forward(inv, registries(project))
}

func load(ctx context.Context, inv *nerdctl.Invocation) (*compose.Project, error) {
	return compose.Load(ctx, compose.Source{
		Files: inv.Strings("file"), Name: inv.String("project-name"), Dir: inv.String("project-directory"),
		EnvFiles: nonEmpty(inv.String("env-file")), Profiles: inv.Strings("profile"), Environ: os.Environ(),
	})
}

// registries are those of a project's images.
func registries(p *compose.Project) []string {
	all := []string{} // not nil: these, and no other
	for _, image := range p.Images() {
		if name := nerdctl.RegistryOf(image); name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// ensureEmulation ensures that containers of other platforms run, as for `run --platform`, and returns
// what it has told the user of that.
func ensureEmulation(ctx context.Context, env *cli.Env, platforms []string) (told map[string]string, err error) {
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	told, err = c.Emulate(ctx, platforms)
	for _, name := range slices.Sorted(maps.Keys(told)) {
		c.Note(told[name])
	}
	return told, err
}

// setFiles makes compose files those of a command line, one over the other.
func setFiles(inv *nerdctl.Invocation, files []string) {
	inv.Remove("file")
	flag := nerdctl.Root().Find("compose").Flag("file")
	for _, f := range files {
		inv.Flags = append(inv.Flags, nerdctl.FlagValue{Flag: flag, Value: f, Level: 1})
	}
}

func nonEmpty(values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

// redirectLogrus sends what is said of compose files to out, in linnet's form, until done is called.
func redirectLogrus(out io.Writer) (done func()) {
	level := logrus.GetLevel()
	logrus.SetOutput(out)
	logrus.SetFormatter(plainFormatter{})
	logrus.SetLevel(logrus.WarnLevel)
	return func() { logrus.SetLevel(level) }
}

type plainFormatter struct{}

// Format implements logrus.Formatter.
func (plainFormatter) Format(e *logrus.Entry) ([]byte, error) {
	return []byte(e.Level.String() + ": " + strings.TrimSpace(e.Message) + "\n"), nil
}

// buildFlags are those of `compose build`, and compose's own before it.
type buildFlags struct {
	files, profiles, envFiles []string
	name, dir                 string

	args, ssh                            []string
	builder, memory, progress            string
	provenance, sbom                     string
	noCache, pull, push, quiet, check    bool
	withDependencies, printPlan, ignored bool
}

const buildLong = `build builds the images of a project's services, or of those named, all at once; one that has another
service's image as a context (service:NAME) waits for it.

Compose files are read on this machine, with its environment. Every key of their build sections counts. Contexts,
secrets and SSH agents are streamed as the builds ask for them, as for ` + "`linnet build`" + `.

Exit codes: 0 when all were built; 1 when one was not, or when --check has found something; 2 when linnet does not
understand its command line; 130 after Ctrl-C and 143 after SIGTERM.`

// buildTree reads a command line of `compose build`. It is a tree of its own, since what
// nerdctl's commands have for flags is not known to cobra.
func buildTree(ctx context.Context, env *cli.Env, words []string) error {
	root := BuildCommand(env).Root()
	s := env.Streams()
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cli.Usage(fmt.Errorf("compose build: %w", err), "linnet compose build --help lists the flags")
	})
	root.SetArgs(words)
	return root.ExecuteContext(ctx)
}

// BuildCommand is `linnet compose build`, in a tree of its own.
func BuildCommand(env *cli.Env) *cobra.Command {
	v := &buildFlags{}
	root := &cobra.Command{Use: "linnet", SilenceUsage: true, SilenceErrors: true, TraverseChildren: true}
	comp := &cobra.Command{Use: "compose", Short: "Compose", TraverseChildren: true}
	b := &cobra.Command{
		Use: "build [flags] [SERVICE...]", Short: "Build the images of services", Long: buildLong,
		RunE: func(cmd *cobra.Command, services []string) error {
			return buildServices(cmd, env, v, services)
		},
	}
	f := comp.PersistentFlags()
	comp.Flags().StringArrayVarP(&v.files, "file", "f", nil, "the compose file, or several")
	f.StringVarP(&v.name, "project-name", "p", "", "the project's name")
	f.StringArrayVar(&v.profiles, "profile", nil, "services of this profile too")
	f.StringArrayVar(&v.envFiles, "env-file", nil, "a file of variables instead of .env")
	f.StringVar(&v.dir, "project-directory", "", "the project's directory (default: that of the first compose file)")
	var ipfs string
	f.StringVar(&ipfs, "ipfs-address", "", "nothing to a build")
	_ = f.MarkHidden("ipfs-address") // it is there
	v.add(b)
	comp.AddCommand(b)
	root.AddCommand(comp)
	return b
}

func (v *buildFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&v.args, "build-arg", nil, "set a build argument of all services: NAME=VALUE, or NAME for the value it has here")
	f.StringVar(&v.builder, "builder", "", "docker's choice of a builder: there is one, default")
	f.BoolVar(&v.check, "check", false, "check the Dockerfiles and build nothing")
	f.StringVarP(&v.memory, "memory", "m", "", "nothing to BuildKit")
	f.BoolVar(&v.noCache, "no-cache", false, "run every step again")
	f.StringVar(&v.progress, "progress", "auto", "how progress is shown: auto, tty, plain, rawjson, quiet")
	f.StringVar(&v.provenance, "provenance", "", "attach provenance: true, false, mode=min, mode=max")
	f.BoolVar(&v.pull, "pull", false, "look for newer base images")
	f.BoolVar(&v.push, "push", false, "push the images that have a name of their own")
	f.BoolVarP(&v.quiet, "quiet", "q", false, "show no progress")
	f.StringVar(&v.sbom, "sbom", "", "attach a bill of materials: true, false, generator=IMAGE")
	f.StringArrayVar(&v.ssh, "ssh", nil, "offer an SSH agent or keys: default, or ID=SOCKET, or ID=KEYFILE")
	f.BoolVar(&v.withDependencies, "with-dependencies", false, "also what the services depend on")
	f.BoolVar(&v.printPlan, "print", false, "docker's: print a bake file")
	for _, name := range []string{"compress", "force-rm", "no-rm", "parallel"} {
		f.BoolVar(&v.ignored, name, false, "nothing to BuildKit")
		_ = f.MarkHidden(name) // it is there
	}
	for _, name := range []string{"builder", "memory", "print"} {
		_ = f.MarkHidden(name)
	}
}

// wanted is what the flags say over the files.
func (v *buildFlags) wanted(h options.Host, services []string) (w compose.Wanted, err error) {
	w = compose.Wanted{
		Services: services, Dependencies: v.withDependencies, Dir: h.Dir,
		NoCache: v.noCache, Pull: v.pull, Push: v.push, Provenance: v.provenance, SBOM: v.sbom,
	}
	switch {
	case v.builder != "" && v.builder != "default":
		return w, cli.Usage(fmt.Errorf("--builder: there is no builder %q", v.builder), "leave it out: there is one, the engine's")
	case v.printPlan:
		return w, cli.Usage(errors.New("--print: linnet does not build with bake, and has no bake file to print"), "linnet compose config shows the project")
	}
	if w.Args, err = options.ParseArgs(v.args, h.LookupEnv); err != nil {
		return w, err
	}
	for _, value := range v.ssh {
		s, err := options.ParseSSH(value)
		if err != nil {
			return w, err
		}
		w.SSH = append(w.SSH, s)
	}
	return w, nil
}

func buildServices(cmd *cobra.Command, env *cli.Env, v *buildFlags, services []string) error {
	if g := env.Global(); len(g) > 0 {
		return cli.Usage(fmt.Errorf("compose build: %s: a build has none of nerdctl's global flags", strings.Join(g, " ")), "leave it out")
	}
	h, err := buildcmd.Host(env)
	if err != nil {
		return err
	}
	done := redirectLogrus(env.Streams().Err)
	project, err := compose.Load(cmd.Context(), compose.Source{
		Files: v.files, Name: v.name, Dir: v.dir, EnvFiles: v.envFiles, Profiles: v.profiles, Environ: os.Environ(),
	})
	done()
	if err != nil {
		return err
	}
	h.LookupEnv = project.LookupEnv
	w, err := v.wanted(h, services)
	if err != nil {
		return err
	}
	plan, err := project.Plan(w)
	if err != nil {
		return err
	}
	s := env.Streams()
	if v.memory != "" {
		fmt.Fprintln(s.Err, "warning: --memory means nothing to BuildKit")
	}
	if len(plan) == 0 {
		fmt.Fprintln(s.Err, "no service has anything to build")
		return nil
	}
	mode := v.progress
	switch {
	case v.quiet:
		mode = "quiet"
	case !cmd.Flags().Changed("progress"):
		mode = buildcmd.Progress(env)
	}
	ctx, stop := buildcmd.Interruptible(cmd.Context())
	defer stop()
	b, err := newBuilds(env, project)
	if err != nil {
		return err
	}
	if v.check {
		return b.check(ctx, plan)
	}
	return b.run(ctx, plan, mode)
}
