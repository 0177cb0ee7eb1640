package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/report"
)

const doctorLong = `doctor looks at this host, at what linnet keeps, and at the engine, and prints a line for each check: ok, warning or
failed, a reason, and what to do. It starts nothing, and changes nothing without --fix.

--fix does what is linnet's alone: it removes sockets and kernel entries that are left over, makes directories that are
missing, and takes from others the right to write to yours. What is a user's or the system's is only named.

Exit codes: 0 when no check failed, warnings or not; 1 when one failed; 2 when the command line is not understood.`

type doctorFlags struct {
	format       string
	fix, network bool
}

// diagnosis is what `linnet doctor` shows.
type diagnosis struct {
	// Failed and Warnings are how many results have that state.
	Failed   int `json:"failed"`
	Warnings int `json:"warnings"`
	// Repaired are the repairs that were made, and Unrepaired those that could not be, each a sentence.
	Repaired   []string        `json:"repaired"`
	Unrepaired []string        `json:"unrepaired"`
	Checks     []doctor.Result `json:"checks"`
}

func (a *app) newDoctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use: "doctor [CHECK...]", Short: "look for what keeps linnet from working, and repair what is linnet's", Long: doctorLong,
		Example: `  linnet doctor
  linnet doctor --fix sockets directories
  linnet doctor --network --format json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.doctor(cmd.Context(), args, f) },
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (words []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, check := range doctor.Checks() {
				if !slices.Contains(args, check.ID) {
					words = append(words, cobra.CompletionWithDesc(check.ID, check.Title))
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.Flags().BoolVar(&f.fix, "fix", false, "repair what is linnet's alone, and say what was done")
	c.Flags().BoolVar(&f.network, "network", false, "also ask registries whether they answer; takes up to 5 s")
	AddFormat(c, &f.format)
	return c
}

func (a *app) doctor(ctx context.Context, names []string, f doctorFlags) error {
	checks, err := doctor.Find(names)
	if unknown := (*doctor.UnknownError)(nil); errors.As(err, &unknown) {
		return Usage(fmt.Errorf("doctor: %w", err), "linnet doctor --format json lists them, docs/doctor.md explains them")
	}
	source := a.doctorSource()
	results := doctor.Judge(a.facts(ctx, source, f.network), checks)
	d := diagnosis{Repaired: []string{}, Unrepaired: []string{}}
	if f.fix {
		for _, action := range doctor.Actions(results) {
			if err := source.Repair(ctx, action); err != nil {
				d.Unrepaired = append(d.Unrepaired, err.Error())
				continue
			}
			d.Repaired = append(d.Repaired, action.Done())
		}
		if len(d.Repaired) > 0 {
			results = doctor.Judge(a.facts(ctx, a.doctorSource(), f.network), checks)
		}
	}
	d.Checks, d.Failed, d.Warnings = results, doctor.Count(results, doctor.Failed), doctor.Count(results, doctor.Warning)
	if err := Show(a.streams, f.format, d, func(w io.Writer) error { return printDiagnosis(w, d, len(names) > 0, a.streams.OutTerminal()) }); err != nil {
		return err
	}
	if d.Failed > 0 {
		return &silentError{exitError}
	}
	return nil
}

// printDiagnosis prints a line for each result, with what to do below it on a terminal, and what was repaired before. What means
// nothing on this machine is left out, unless it was asked for by name.
func printDiagnosis(w io.Writer, d diagnosis, named, terminal bool) error {
	for _, text := range d.Repaired {
		fmt.Fprintln(w, "fixed: "+text)
	}
	for _, text := range d.Unrepaired {
		fmt.Fprintln(w, "not fixed: "+text)
	}
	shown := slices.DeleteFunc(slices.Clone(d.Checks), func(r doctor.Result) bool { return r.State == doctor.Skipped && !named })
	if err := printResults(w, shown, terminal); err != nil {
		return err
	}
	if d.Failed+d.Warnings == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%d failed, %d with a warning\n", d.Failed, d.Warnings)
	return err
}

// printResults prints what to do on a line of its own on a terminal, where lines are read, and as a column elsewhere, where they are cut.
func printResults(w io.Writer, results []doctor.Result, terminal bool) error {
	if !terminal {
		t := report.NewTable(false, "CHECK", "STATE", "REASON", "FIX")
		for _, r := range results {
			t.Row(r.ID, string(r.State), oneLine(r.Says), oneLine(r.Fix))
		}
		return t.Print(w)
	}
	widest := 0
	for _, r := range results {
		widest = max(widest, len(r.ID))
	}
	for _, r := range results {
		if _, err := fmt.Fprintf(w, "%-*s  %-7s  %s\n", widest, r.ID, r.State, oneLine(r.Says)); err != nil {
			return err
		}
		if r.Fix != "" {
			fmt.Fprintf(w, "%*s  fix: %s\n", widest+len("  failed "), "", oneLine(r.Fix))
		}
	}
	return nil
}

// oneLine is a text whose lines have become one.
func oneLine(text string) string { return report.Clean(strings.Join(strings.Fields(text), " ")) }
