package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Machine is the virtual machine that the settings choose; what is asked of it makes no
// sense to the native engine, which the error says.
func (a *app) Machine(what, instead string) (*lima.Guest, error) {
	e, err := a.Engine()
	if err != nil {
		return nil, err
	}
	if e.machine == nil {
		return nil, Usage(fmt.Errorf("engine %s: the native engine is no virtual machine", what), instead)
	}
	return e.machine, nil
}

// addDryRun adds --dry-run to a command that changes the virtual machine.
func addDryRun(c *cobra.Command, dry *bool) {
	c.Flags().BoolVar(dry, "dry-run", false, "virtual machine only: show what would be done, and why, and do nothing")
}

// dryRun prints the plan for a goal. One that is refused is the error that doing it would be.
func (a *app) dryRun(ctx context.Context, what string, goal vm.Goal) error {
	g, err := a.Machine(what+" --dry-run", "leave --dry-run out")
	if err != nil {
		return err
	}
	plan, err := g.Plan(ctx, goal)
	if err != nil {
		return err
	}
	if plan.Refused != nil {
		return plan.Refused
	}
	_, err = io.WriteString(a.streams.Out, plan.String())
	return err
}

// idle reports whether nothing has to be done for a goal, and then tells the user so.
func (a *app) idle(ctx context.Context, g *lima.Guest, goal vm.Goal, text string) (bool, error) {
	plan, err := g.Plan(ctx, goal)
	if err == nil && plan.Refused != nil {
		err = plan.Refused
	}
	if err != nil || !plan.Empty() {
		return false, err
	}
	if !a.quiet {
		fmt.Fprintln(a.streams.Err, text)
		a.tellNotes(plan)
	}
	return true, nil
}

// showNotes says what the user should know of a virtual machine that runs: which settings wait
// for its next start, say.
func (a *app) showNotes(ctx context.Context, e *engine) error {
	if e.machine == nil || a.quiet {
		return nil
	}
	plan, err := e.machine.Plan(ctx, vm.Started)
	if err != nil {
		return err
	}
	a.tellNotes(plan)
	return nil
}

func (a *app) tellNotes(plan vm.Plan) {
	for _, note := range plan.Notes {
		fmt.Fprintln(a.streams.Err, "note:", note)
	}
}

func (a *app) newEngineInit() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "init", Short: "make the virtual machine and its data disk without starting it", Args: NoArgs,
		Long: `init makes the virtual machine and its data disk, if they are not there, and does not start
it. No other command needs it: what needs the machine makes it. The native engine has none.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				return a.dryRun(cmd.Context(), "init", vm.Initialised)
			}
			g, err := a.Machine("init", "nothing has to be made: the first command starts it")
			if err != nil {
				return err
			}
			if done, err := a.idle(cmd.Context(), g, vm.Initialised, "the virtual machine is there, as it is wanted"); done || err != nil {
				return err
			}
			if err := g.Initialise(cmd.Context()); err != nil || a.quiet {
				return err
			}
			_, err = fmt.Fprintln(a.streams.Err, "note:", g.Sharing().Boundary()+" (vm.mounts)")
			return err
		},
	}
	addDryRun(c, &dry)
	return c
}

func (a *app) newEngineRemove() *cobra.Command {
	var data, force, dry bool
	c := &cobra.Command{
		Use: "rm", Short: "remove the virtual machine; its data disk stays", Args: NoArgs,
		Long: `rm stops and removes the virtual machine. Its data disk stays, with all images, containers,
volumes, networks and caches: the next machine takes it over. --data destroys the disk too, after
saying what goes with it. The native engine is no machine: engine reset removes what it keeps.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			goal, none := vm.Removed, "there is no virtual machine"
			if data {
				goal, none = vm.RemovedWithData, "there is no virtual machine, and no data disk"
			}
			if dry {
				return a.dryRun(cmd.Context(), "rm", goal)
			}
			g, err := a.Machine("rm", "linnet engine reset removes what it keeps")
			if err != nil {
				return err
			}
			if done, err := a.idle(cmd.Context(), g, goal, none); done || err != nil {
				return err
			}
			if data && !force {
				if err := a.confirmReset(cmd.Context(), g, true); err != nil {
					return err
				}
			}
			return g.Remove(cmd.Context(), data)
		},
	}
	c.Flags().BoolVar(&data, "data", false, "destroy the data disk too: every image, container, volume and cache")
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	addDryRun(c, &dry)
	return c
}

func (a *app) newEngineShell() *cobra.Command {
	return &cobra.Command{
		Use: "shell [COMMAND [ARG...]]", Short: "run a shell or a command inside the virtual machine, as your user there",
		Long: `shell runs a login shell, or a command, inside the virtual machine: as the user that has your
name there, who may use sudo, and in the current directory if the machine shares it.`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			g, err := a.Machine("shell", "it runs on this host, where your shell is")
			if err != nil {
				return err
			}
			if err := g.Ready(a.ctx); err != nil {
				return err
			}
			p := guest.Process{Argv: g.Shell(args)}
			if dir, err := os.Getwd(); err == nil {
				if v, err := g.Path(dir); err == nil {
					p.Dir = v.Path
				}
			}
			if a.streams.InTerminal() && a.streams.OutTerminal() {
				p.TTY = &guest.TTY{Term: os.Getenv("TERM")}
			}
			c, err := a.Client()
			if err != nil {
				return err
			}
			c.Release()
			return c.Attach(a.ctx, p)
		},
	}
}

// newView is what the machine's processes are started through where they share a directory that
// LINNET_HOME is in: they see it without LINNET_HOME. Without a command it is only tried.
func (a *app) newView() *cobra.Command {
	return &cobra.Command{
		Use: "view HIDDEN EMPTY [DIR AT]... -- [COMMAND [ARG...]]", Hidden: true, Short: "run a command that does not see a directory",
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			if dash < 2 || dash%2 != 0 {
				return Usage(errors.New("engine view: it takes pairs of directories, and a command"), "it is for linnet's own use")
			}
			var views []host.View
			for pair := range slices.Chunk(args[2:dash], 2) {
				views = append(views, host.View{Dir: pair[0], At: pair[1], Hidden: args[0], Empty: args[1]})
			}
			if err := host.Enter(views); err != nil || len(args) == dash {
				return err
			}
			return host.Become(args[dash], args[dash:], os.Environ(), nil)
		},
	}
}

// newRelay is the host's process that lives as long as the virtual machine; the command that starts
// the machine starts it, and learns on descriptor 3 whether it listens.
func (a *app) newRelay() *cobra.Command {
	var rules relay.PortRules
	var sshAgent string
	var docker bool
	c := &cobra.Command{
		Use: "relay", Hidden: true, Args: NoArgs, Short: "hold the channel into the virtual machine",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.Layout()
			if err != nil {
				return err
			}
			for _, dir := range []string{l.VMRun(), filepath.Dir(l.VMLog("relay"))} {
				if err := host.MakeDir(dir); err != nil {
					return err
				}
			}
			out, err := relay.OpenLog(l.VMLog("relay"))
			if err != nil {
				return err
			}
			defer func() { _ = out.Close() }()
			log := logrus.New()
			log.SetOutput(out)
			log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
			dockerSocket := ""
			if docker {
				dockerSocket = l.DockerSocket()
			}
			r, err := relay.New(relay.Options{
				AgentSocket: l.VMSocket("agent"), ControlSocket: l.VMSocket("relay"), Lock: l.VMLock("relay"),
				HostKey: l.HostKey(), GuestSocket: lima.AgentSocket,
				Target: func(context.Context) (relay.Target, error) {
					t, err := lima.ReadTarget(l)
					return relay.Target(t), err
				},
				Alive:   func() bool { return lima.Processes(l).Any() },
				Up:      relay.ConsoleSays(lima.UpMark, lima.Consoles(l)...),
				Ciphers: ciphers(l),
				Ports:   rules, SSHAgent: sshAgent, DockerSocket: dockerSocket,
				Log: log,
			})
			if err != nil {
				return err
			}
			return r.Run(cmd.Context())
		},
	}
	c.Flags().IntVar(&rules.Max, "ports-max", 0, "how many ports may be published")
	c.Flags().Uint16Var(&rules.Lowest, "ports-lowest", 0, "the lowest of them")
	c.Flags().TextVar(&rules.Widest, "ports-address", netip.Addr{}, "their widest address")
	c.Flags().BoolVar(&docker, "docker", false, "listen for clients of Docker's API")
	c.Flags().StringVar(&sshAgent, "ssh-agent", "", "the `socket` of the SSH agent that the machine has")
	return c
}

// ciphers are the relay's: an emulated processor encrypts faster without its instructions
// for AES.
func ciphers(l host.Layout) []string {
	if shape, ok := lima.ReadShape(l); ok && shape.Accelerator == "tcg" {
		return relay.CiphersEmulated
	}
	return relay.CiphersHardware
}
