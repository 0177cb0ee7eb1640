package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// newEngine is `linnet engine ...`, the engine as a person handles it. vm is the same: on
// macOS the engine is a virtual machine.
func (a *app) newEngine() *cobra.Command {
	c := group("engine", "start, stop and look at the engine", "vm")
	c.AddCommand(
		a.newEngineInit(), a.newEngineStart(), a.newEngineStop(), a.newEngineRestart(), a.newEngineStatus(),
		a.newEngineShell(), a.newEngineLogs(), a.newEngineReset(), a.newEngineRemove(), a.newImage(), a.newRelay(), a.newView(),
	)
	return c
}

func (a *app) newEngineStart() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "start", Short: "start the engine, if it does not run yet", Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				return a.dryRun(cmd.Context(), "start", vm.Started)
			}
			e, err := a.Engine()
			if err != nil {
				return err
			}
			if err := e.Start(cmd.Context()); err != nil {
				return err
			}
			return a.showNotes(cmd.Context(), e)
		},
	}
	addDryRun(c, &dry)
	return c
}

const stopLong = `stop ends every running container (its stop signal, SIGKILL after the timeout), then
BuildKit, containerd and the agent. Containers, images, volumes and networks stay. The next
command that needs the engine starts it again, and containers whose restart policy is
"always" or "unless-stopped" with it; others are then shown as "Created".`

func (a *app) newEngineStop() *cobra.Command {
	var timeout time.Duration
	var dry bool
	c := &cobra.Command{
		Use: "stop", Short: "stop all containers and the engine", Long: stopLong, Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				return a.dryRun(cmd.Context(), "stop", vm.Stopped)
			}
			return a.stopEngine(cmd, timeout)
		},
	}
	addTimeout(c, &timeout)
	addDryRun(c, &dry)
	return c
}

func (a *app) stopEngine(cmd *cobra.Command, timeout time.Duration) error {
	e, err := a.Engine()
	if err != nil {
		return err
	}
	ran, err := e.Stop(cmd.Context(), timeout)
	if err == nil && !ran && !a.quiet {
		_, err = fmt.Fprintln(a.streams.Err, "the engine is not running")
	}
	return err
}

func (a *app) newEngineRestart() *cobra.Command {
	var timeout time.Duration
	var dry bool
	c := &cobra.Command{
		Use: "restart", Short: "stop the engine and start it again", Args: NoArgs,
		Long: stopLong,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry {
				return a.dryRun(cmd.Context(), "restart", vm.Restarted)
			}
			e, err := a.Engine()
			if err != nil {
				return err
			}
			if e.machine != nil {
				if err := e.machine.FetchImage(cmd.Context()); err != nil {
					return err // and what runs, runs on
				}
			}
			// What could not be ended is told, and is no reason to leave the user without an engine.
			_, stopping := e.Stop(cmd.Context(), timeout)
			if cmd.Context().Err() != nil {
				return stopping
			}
			return errors.Join(stopping, e.Start(cmd.Context()))
		},
	}
	addTimeout(c, &timeout)
	addDryRun(c, &dry)
	return c
}

// addTimeout adds --timeout as docker has it: a bare number is seconds.
func addTimeout(c *cobra.Command, timeout *time.Duration) {
	c.Flags().VarP((*seconds)(timeout), "timeout", "t", "how long a container may take to end (default: engine.stopTimeout)")
}

// seconds is a duration flag that takes a bare number as seconds.
type seconds time.Duration

func (s *seconds) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}
func (*seconds) Type() string { return "duration" }

func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, numErr := strconv.ParseUint(text, 10, 31); numErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a number of seconds, nor a duration such as 10s", text)
	}
	*s = seconds(d)
	return nil
}

func (a *app) newEngineStatus() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "status", Short: "show what runs, where, and how much disk it takes", Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := a.Engine()
			if err != nil {
				return err
			}
			s, err := e.Status(cmd.Context())
			if err != nil {
				return err
			}
			components, err := a.components()
			if err != nil {
				return err
			}
			if s.Versions == nil {
				s.Versions = map[string]string{}
			}
			for _, c := range components {
				if c.Found != "" {
					s.Versions[c.Name] = c.Found
				}
			}
			return Show(a.streams, format, s, func(w io.Writer) error { return printStatus(w, s, a.streams.OutTerminal()) })
		},
	}
	AddFormat(c, &format)
	return c
}

func printStatus(w io.Writer, s guest.Status, terminal bool) error {
	fmt.Fprintf(w, "state:   %s\nbackend: %s\nhome:    %s\n", s.State, s.Backend, s.Home)
	if s.StartedAt != nil {
		fmt.Fprintf(w, "uptime:  %s\n", (time.Duration(s.UptimeSeconds) * time.Second).String())
	}
	if s.Network.Bridge != "" {
		fmt.Fprintf(w, "network: %s %s\n", s.Network.Bridge, s.Network.Subnet)
	}
	if _, machine := s.Disk["machine"]; machine {
		fmt.Fprintf(w, "disk:    %s machine, %s data disk; %s free\n", bytesText(s.Disk["machine"]), bytesText(s.Disk["data"]), bytesText(s.Disk["free"]))
	} else {
		fmt.Fprintf(w, "disk:    %s images and layers, %s build cache, %s volumes and logs; %s free\n",
			bytesText(s.Disk["images"]), bytesText(s.Disk["buildCache"]), bytesText(s.Disk["volumes"]), bytesText(s.Disk["free"]))
	}
	printSharing(w, s)
	if len(s.Daemons) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := report.NewTable(terminal, "DAEMON", "STATE", "PID", "RESTARTS", "SOCKET")
	for _, d := range s.Daemons {
		t.Row(d.Name, d.State, strconv.Itoa(d.PID), strconv.Itoa(d.Restarts), d.Socket)
	}
	if err := t.Print(w); err != nil {
		return err
	}
	if err := printPorts(w, s.Ports, terminal); err != nil {
		return err
	}
	for _, d := range s.Daemons {
		switch {
		case d.State == "running" || d.LastError == "":
		case d.State == guest.Asleep:
			fmt.Fprintf(w, "\n%s; linnet engine logs %s says more\n", report.CleanLine(d.LastError), d.Name)
		default:
			fmt.Fprintf(w, "\n%s has ended: %s; linnet engine logs %s says more\n", d.Name, report.CleanLine(d.LastError), d.Name)
		}
	}
	return nil
}

// printPorts lists what containers have published, if anything.
func printPorts(w io.Writer, ports []guest.Port, terminal bool) error {
	if len(ports) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := report.NewTable(terminal, "PORT", "TO", "CONTAINER", "STATE")
	for _, p := range ports {
		state := "open"
		if p.Error != "" {
			state = p.Error
		}
		container, _, _ := strings.Cut(p.Owner, "/")
		t.Row(p.Host+"/"+p.Protocol, p.Target, fmt.Sprintf("%.12s", container), state)
	}
	return t.Print(w)
}

// printSharing says what a virtual machine reaches of this host, and what it does not.
func printSharing(w io.Writer, s guest.Status) {
	if s.Boundary == "" {
		return
	}
	shares := strings.Join(s.Shares, ", ")
	if shares == "" {
		shares = "none"
	}
	if len(s.Hidden) > 0 {
		shares += "; not " + strings.Join(s.Hidden, ", ")
	}
	fmt.Fprintf(w, "shares:  %s\n         %s\n", shares, s.Boundary)
}

// bytesText is a size in binary units with one decimal.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	size, i := float64(n), 0
	for size >= 1024 && i < len(units)-1 {
		size, i = size/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[i])
}

func (a *app) newEngineLogs() *cobra.Command {
	var follow bool
	var tail int
	c := &cobra.Command{
		Use: "logs [NAME]", Short: "show the logs of the engine's own processes",
		Long: `logs shows the logs of agent, containerd, buildkitd and dockerd; of a virtual machine also relay (the
channel into it and its published ports), limactl, hostagent and serial (its console).`,
		Args: cobra.MaximumNArgs(1), ValidArgs: append(guest.EngineLogs(), "relay", "limactl", "hostagent", "serial"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.Engine()
			if err != nil {
				return err
			}
			logs, err := pickLogs(e.Logs(), args)
			if err != nil {
				return err
			}
			if len(args) > 0 && logs[0].InGuest && !e.Running(cmd.Context()) {
				return &hint.Error{Err: fmt.Errorf("engine logs: the log of %s is in the virtual machine, which does not run", args[0]), Fix: "linnet vm start"}
			}
			return showLogs(cmd.Context(), e, a.streams.Out, a.streams.OutTerminal(), logs, tail, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on showing what is added")
	c.Flags().IntVarP(&tail, "tail", "n", -1, "show only so many lines of each log's end (-1: all)")
	return c
}

func pickLogs(logs []guest.Log, names []string) ([]guest.Log, error) {
	if len(names) == 0 {
		return logs, nil
	}
	var known []string
	for _, l := range logs {
		if l.Name == names[0] {
			return []guest.Log{l}, nil
		}
		known = append(known, l.Name)
	}
	return nil, Usage(fmt.Errorf("engine logs: there is no log %q", names[0]), "one of "+strings.Join(known, ", "))
}

func (a *app) newEngineReset() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "reset", Short: "remove everything the engine keeps: containers, images, volumes, caches", Args: NoArgs,
		Long: `reset stops the engine and removes all of its containers, images, volumes, networks and
caches. linnet.yaml stays. A docker or containerd beside linnet is not touched.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := a.Engine()
			if err != nil {
				return err
			}
			if !force {
				if err := a.confirmReset(cmd.Context(), e, e.Capabilities().Machine); err != nil {
					return err
				}
			}
			return e.Reset(cmd.Context())
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	return c
}

// confirmReset asks before everything that an engine keeps is removed.
func (a *app) confirmReset(ctx context.Context, e guest.Engine, machine bool) error {
	s, err := e.Status(ctx)
	if err != nil {
		return err
	}
	what := "all containers, images, volumes, networks and caches"
	if machine {
		what = "the virtual machine and its data disk, which holds " + what + ","
	}
	return Confirm(ctx, a.streams, fmt.Sprintf("%s in %s (%s)", what, s.Home, bytesText(s.Disk["total"])))
}
