package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/dockercontext"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/native"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/settings"
)

const uninstallLong = `uninstall stops the engine and the virtual machine and removes all that linnet keeps: containers,
images, volumes, networks and caches, your settings, and then the programs, if they came with
an archive (install.sh). Programs of a package go with the package manager: it says how.

LINNET_HOME stays where something else is in it. With --keep-data all of it stays; the engine and
the virtual machine are stopped. What others use too (docs/files.md) stays.`

func (a *app) newUninstall() *cobra.Command {
	var force, keep bool
	c := &cobra.Command{
		Use: "uninstall", Short: "remove linnet and everything it keeps", Long: uninstallLong, Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.uninstall(cmd.Context(), force, keep) },
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	c.Flags().BoolVar(&keep, "keep-data", false, "remove the programs alone, and keep what is in LINNET_HOME")
	return c
}

func (a *app) uninstall(ctx context.Context, force, keep bool) error {
	l, err := a.Layout()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	in, err := findInstallation(program)
	if err != nil {
		return err
	}
	engines := a.keptEngines(l, program)
	if goes := whatGoes(ctx, l, in, engines, keep); goes != "" && !force {
		if err := Confirm(ctx, a.streams, goes); err != nil {
			return err
		}
	}
	for _, e := range engines {
		if keep {
			_, err = e.Stop(ctx, 0)
		} else {
			err = e.Reset(ctx)
		}
		if err != nil {
			return err
		}
	}
	if !keep {
		if err := forgetAll(l); err != nil {
			return err
		}
		a.noteWhatLeadsHere(l)
	}
	return a.removePrograms(in)
}

// keptEngines are the engines that LINNET_HOME holds something of, whichever of them the settings choose.
func (a *app) keptEngines(l host.Layout, program string) (engines []guest.Engine) {
	s, err := a.Settings()
	if err != nil { // what is removed does not depend on them
		s = settings.Defaults(settings.HostFacts())
	}
	if there(l.Engine()) || there(l.Volatile()) && settings.HostFacts().OS == "linux" {
		engines = append(engines, native.New(native.Options{
			Layout: l, Program: program, Environ: os.Environ(), Report: a.Report(),
			Spec: func() (agent.Spec, error) { return engineSpec(l, s), nil },
		}))
	}
	if there(l.LimaHome()) || there(filepath.Dir(l.VM())) {
		engines = append(engines, a.machine(l, s, program))
	}
	return engines
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// whatGoes says what would be removed, for a question; "" is nothing.
func whatGoes(ctx context.Context, l host.Layout, in installation, engines []guest.Engine, keep bool) string {
	var parts []string
	if len(in.Files) > 0 {
		parts = append(parts, fmt.Sprintf("linnet's programs below %s (%d files)", in.Prefix, len(in.Files)))
	}
	if keep {
		return strings.Join(parts, "")
	}
	var size int64
	for _, e := range engines {
		if s, err := e.Status(ctx); err == nil {
			size += s.Disk["total"]
		}
	}
	if len(engines) > 0 {
		parts = append(parts, fmt.Sprintf("all containers, images, volumes, networks and caches in %s (%s)", l.Home, bytesText(size)))
	}
	if there(l.Settings()) {
		parts = append(parts, "your settings, "+l.Settings())
	}
	return strings.Join(parts, "; ")
}

// forgetAll removes what engines leave of linnet's entries in LINNET_HOME, and the directory itself when nothing else is in it.
func forgetAll(l host.Layout) error {
	for _, entry := range l.Entries() {
		if err := host.RemoveTree(entry); err != nil {
			return err
		}
	}
	host.ForgetHome(l)
	return nil
}

// noteWhatLeadsHere tells what still leads Docker's clients to an engine that is gone, with what removes it without linnet.
func (a *app) noteWhatLeadsHere(l host.Layout) {
	if store, err := dockercontext.Open(os.LookupEnv); err == nil {
		if c, ok, err := store.Find(contextName); ok && err == nil && c.Host == address(l.DockerSocket()) {
			a.note(fmt.Sprintf("docker's context %q stays: docker context rm --force %s", contextName, contextName))
		}
	}
	place, err := a.systemPlace("uninstall", l.DockerSocket())
	if err != nil || !place.isOurs() {
		return
	}
	if plan, err := place.disable(); err == nil {
		a.note(fmt.Sprintf("the link %s stays: %s", place.Path, plan.lines()[0]))
	}
}

// removePrograms removes them, or says who does, and what stays that is not linnet's.
func (a *app) removePrograms(in installation) error {
	if len(in.Files) == 0 {
		if !a.quiet {
			fmt.Fprintln(a.streams.Err, "the programs stay:", report.CleanLine(in.Instead))
		}
		return nil
	}
	if err := in.remove(); err != nil {
		return err
	}
	if !a.quiet {
		fmt.Fprintln(a.streams.Err, "linnet is removed from", in.Prefix)
	}
	return nil
}
