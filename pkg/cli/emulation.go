package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/native"
	"github.com/linnet-dev/linnet/pkg/report"
)

func (a *app) newEmulation() *cobra.Command {
	c := group("emulation", "see and choose which other processors' programs run")
	c.AddCommand(a.newEmulationStatus(), a.newEmulationEnable(), a.newEmulationDisable())
	return c
}

// emulationStatus is what `emulation status` shows.
type emulationStatus struct {
	// Backend is "native" or "lima", Host the architecture of its machine.
	Backend       string            `json:"backend"`
	Host          string            `json:"host"`
	Architectures []emulate.Ability `json:"architectures"`
}

func (a *app) newEmulationStatus() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "status", Short: "show which architectures' programs run, how, and what is missing", Args: NoArgs,
		Long: `status runs a smallest program of each architecture, as a container would run it, and says how
that went. As root it tries setuid programs too (sudo in an emulated container is one).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.emulationStatus(cmd.Context())
			if err != nil {
				return err
			}
			return Show(a.streams, format, s, func(w io.Writer) error { return printEmulation(w, s, a.streams.OutTerminal()) })
		},
	}
	AddFormat(c, &format)
	return c
}

func (a *app) emulationStatus(ctx context.Context) (emulationStatus, error) {
	var s emulationStatus
	e, err := a.Engine()
	if err != nil {
		return s, err
	}
	var f emulate.Facts
	if e.native != nil {
		s.Backend = "native"
		f, err = e.native.Emulation(ctx, emulate.Architectures()...)
	} else {
		s.Backend = "lima"
		if !e.Running(ctx) {
			return s, &hint.Error{Err: errors.New("emulation status: the virtual machine does not run"), Fix: "linnet vm start"}
		}
		f, err = askMachine(ctx, e, emulate.Architectures()...)
	}
	if err != nil {
		return s, err
	}
	s.Host, s.Architectures = f.Machine, emulate.Decide(f)
	if known, ok := emulate.Find(f.Machine); ok {
		s.Host = known.Name
	}
	return s, nil
}

// askMachine puts the question to a machine that registers its emulators itself.
func askMachine(ctx context.Context, g guest.Guest, try ...emulate.Architecture) (emulate.Facts, error) {
	q := emulate.Question{Try: try, Dirs: []string{"/var/lib/linnet", "/var/tmp"}}
	return emulate.Ask(ctx, q, func(ctx context.Context, argv []string, stdout io.Writer) error {
		return g.Run(ctx, guest.Process{Argv: argv, Stdout: guest.Limit(stdout, guest.CaptureMax)})
	})
}

func printEmulation(w io.Writer, s emulationStatus, terminal bool) error {
	t := report.NewTable(terminal, "ARCHITECTURE", "RUNS", "THROUGH", "SETUID", "MISSING")
	for _, a := range s.Architectures {
		runs, setuid := string(a.Runs), string(a.Setuid)
		switch {
		case a.Runs == emulate.Not:
			setuid = ""
		case !a.Verified:
			runs += " (not tried)"
		}
		missing := a.Missing
		if a.Fix != "" {
			missing += " (" + a.Fix + ")"
		}
		t.Row(a.Architecture, runs, a.Interpreter, setuid, missing)
	}
	return t.Print(w)
}

func (a *app) newEmulationEnable() *cobra.Command {
	return &cobra.Command{
		Use: "enable [ARCHITECTURE...]", Short: "register emulators, so that other processors' programs run",
		Long: `enable registers this host's emulators (static QEMU user emulators, as in Debian's
qemu-user-static) with the kernel, for the architectures named or for all that there is one for,
and sees that they work in containers, setuid programs included. It needs root, and holds until
the next reboot. No command needs it: the first one with a foreign --platform does the same.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := architectures(args)
			if err != nil {
				return err
			}
			own, err := a.emulator("enable", "linnet emulation status shows what it has")
			if err != nil {
				return err
			}
			return own.EnableEmulation(cmd.Context(), wanted)
		},
	}
}

func architectures(names []string) (all []emulate.Architecture, err error) {
	for _, name := range names {
		found, ok := emulate.OfPlatform(name)
		if !ok {
			var known []string
			for _, k := range emulate.Architectures() {
				known = append(known, k.Name)
			}
			return nil, Usage(fmt.Errorf("emulation enable: %q is not a known architecture", name), "one of "+strings.Join(known, ", "))
		}
		all = append(all, found)
	}
	return all, nil
}

func (a *app) newEmulationDisable() *cobra.Command {
	return &cobra.Command{
		Use: "disable", Short: "take linnet's emulators away, and register none by itself", Args: NoArgs,
		Long: `disable takes the emulators away that linnet has registered with the kernel. Those of others stay.
No command registers any again until enable does.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			own, err := a.emulator("disable", "the virtual machine's own image holds its emulators")
			if err != nil {
				return err
			}
			return own.DisableEmulation(cmd.Context())
		},
	}
}

// emulator is the engine, if linnet registers emulators for it. A virtual machine's image holds what is registered there when it
// starts.
func (a *app) emulator(what, instead string) (*native.Native, error) {
	e, err := a.Engine()
	if err != nil {
		return nil, err
	}
	if e.native == nil {
		return nil, Usage(fmt.Errorf("emulation %s: the virtual machine registers its emulators itself, when it starts", what), instead)
	}
	return e.native, nil
}

// emulateIn makes the programs of an architecture run in an engine's machine.
func emulateIn(ctx context.Context, e *engine, arch emulate.Architecture) (interpreter string, err error) {
	if e.native != nil {
		return e.native.Emulate(ctx, arch)
	}
	if err := e.Ready(ctx); err != nil {
		return "", err
	}
	f, err := askMachine(ctx, e)
	if err != nil {
		return "", err
	}
	now := emulate.Judge(f, arch)
	if now.Runs == emulate.Not {
		return "", &emulate.Error{Architecture: arch, Problem: now.Missing, Fix: now.Fix}
	}
	return now.Interpreter, nil
}
