package buildcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/docker/cli/templates"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/build/cache"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/diskusage"
	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/settings"
)

const dfLong = `system df shows how much disk space images, containers, volumes and the build cache take, those of linnet's own
commands and those of clients of Docker's API together. Images are shared by both, and their packed layers count once.
It starts dockerd, unless the setting docker.socket is off.

Exit codes: 0 when it was shown; 1 when it was not; 2 when linnet does not understand its command line.`

// newSystem has what linnet adds to nerdctl's commands of the whole system.
func newSystem(env *cli.Env) *cobra.Command {
	c := &cobra.Command{Use: "system", Short: "Manage containerd"}
	c.AddCommand(newSystemDf(env))
	return c
}

func newSystemDf(env *cli.Env) *cobra.Command {
	var format string
	var verbose bool
	c := &cobra.Command{
		Use: "df [flags]", Short: "Show how much disk space everything takes", Long: dfLong, Args: cli.NoArgs,
		Example: `  linnet system df
  linnet system df -v
  linnet system df --format '{{.Type}}: {{.Size}}'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDfFormat(format, verbose); err != nil {
				return err
			}
			u, err := diskUsage(cmd.Context(), env)
			if missing := (*diskusage.DockerError)(nil); errors.As(err, &missing) {
				fmt.Fprintln(env.Streams().Err, "warning:", missing)
				err = nil
			}
			if err != nil {
				return err
			}
			s := env.Streams()
			switch {
			case verbose && format == "json":
				return cli.Show(s, format, u, nil)
			case verbose:
				return listUsages(s.Out, s.OutTerminal(), u)
			}
			return showRows(s.Out, s.OutTerminal(), format, u.Rows())
		},
	}
	c.Flags().StringVar(&format, "format", "", `how it is shown: "table", "json", or a Go template with the fields Type, TotalCount, Active, Size and Reclaimable`)
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "list each image, container and volume")
	return c
}

// checkDfFormat refuses a format before anything is started for it.
func checkDfFormat(format string, verbose bool) error {
	if verbose && format != "" && format != "json" {
		return cli.Usage(fmt.Errorf("--format: %q with --verbose is not a format", format), `"json", or leave one of them out`)
	}
	return showRows(io.Discard, false, format, []diskusage.Row{{}})
}

func diskUsage(ctx context.Context, env *cli.Env) (*diskusage.Usage, error) {
	s, err := env.Settings()
	if err != nil {
		return nil, err
	}
	session, _, err := NewSession(env)
	if err != nil {
		return nil, err
	}
	records, err := cache.List(ctx, session)
	if err != nil {
		return nil, err
	}
	own := diskusage.Cache{Side: diskusage.Linnet}
	for _, r := range records {
		own.Add(r.Size, r.InUse, r.Shared)
	}
	return diskusage.Gather(ctx, session.Guest, session.Snapshotter, s.Docker.Socket == settings.On, own)
}

// dfRow is a row as docker's templates have it.
type dfRow struct{ Type, TotalCount, Active, Size, Reclaimable string }

func newDfRow(r diskusage.Row) dfRow {
	reclaimable := size(r.Reclaimable)
	if r.Type != diskusage.BuildCache && r.Size > 0 {
		reclaimable += fmt.Sprintf(" (%d%%)", r.Reclaimable*100/r.Size)
	}
	return dfRow{r.Type, strconv.Itoa(r.Total), strconv.Itoa(r.Active), size(r.Size), reclaimable}
}

// showRows shows the sums as docker does: a table, an object a line, or by a template.
func showRows(w io.Writer, terminal bool, format string, rows []diskusage.Row) error {
	text, isTable := strings.CutPrefix(format, "table")
	if format == "" || format == "table" {
		t := report.NewTable(terminal, "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")
		for _, r := range rows {
			d := newDfRow(r)
			t.Row(d.Type, d.TotalCount, d.Active, d.Size, d.Reclaimable)
		}
		return t.Print(w)
	}
	if format == "json" {
		text = "{{json .}}"
	}
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.TrimSpace(text))
	parsed, err := templates.Parse(text)
	if err != nil {
		return cli.Usage(fmt.Errorf("--format: %w", err), "the fields are Type, TotalCount, Active, Size and Reclaimable")
	}
	var out strings.Builder
	all := make([]dfRow, 0, len(rows)+1)
	if isTable {
		all = append(all, dfRow{"TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"})
	}
	for _, r := range rows {
		all = append(all, newDfRow(r))
	}
	for _, row := range all {
		if err := parsed.Execute(&out, row); err != nil {
			return cli.Usage(fmt.Errorf("--format: %w", err), "the fields are Type, TotalCount, Active, Size and Reclaimable")
		}
		out.WriteByte('\n')
	}
	if !isTable {
		_, err := io.WriteString(w, out.String())
		return err
	}
	t := report.NewTable(terminal)
	for line := range strings.Lines(out.String()) {
		t.Row(strings.Split(strings.TrimSuffix(line, "\n"), "\t")...)
	}
	return t.Print(w)
}

// listUsages lists everything, the largest first.
func listUsages(w io.Writer, terminal bool, u *diskusage.Usage) error {
	images := report.NewTable(terminal, "IMAGE", "ID", "SIZE", "SHARED", "CONTAINERS")
	for _, i := range u.Images {
		images.Row(strings.Join(i.Names, ", "), short(i.ID), size(i.Size), size(i.Shared), strconv.Itoa(i.Containers))
	}
	containers := report.NewTable(terminal, "CONTAINER", "ID", "IMAGE", "SIZE", "RUNS", "OF")
	for _, c := range u.Containers {
		containers.Row(c.Name, short(c.ID), c.Image, size(c.Size), yes(c.Active), string(c.Side))
	}
	volumes := report.NewTable(terminal, "VOLUME", "SIZE", "IN USE", "OF")
	for _, v := range u.Volumes {
		volumes.Row(v.Name, size(v.Size), yes(v.Active), string(v.Side))
	}
	caches := report.NewTable(terminal, "BUILD CACHE OF", "RECORDS", "SIZE", "RECLAIMABLE")
	for _, c := range u.Caches {
		caches.Row(string(c.Side), strconv.Itoa(c.Records), size(c.Size), size(c.Reclaimable))
	}
	for n, t := range []*report.Table{images, containers, volumes, caches} {
		if n > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := t.Print(w); err != nil {
			return err
		}
	}
	return nil
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// short is the beginning of an ID, as lists show it.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), 12)]
}
