package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/migrate"
	"github.com/linnet-dev/linnet/pkg/report"
)

// migrateFlags are the flags of `linnet migrate`.
type migrateFlags struct {
	from, format            string
	imagesOnly, volumesOnly bool
	dryRun, force, yes      bool
}

func (a *app) newMigrate() *cobra.Command {
	var f migrateFlags
	c := &cobra.Command{
		Use: "migrate [NAME...]", Short: "take images and volumes over from Docker, Colima, Podman and others",
		Long: `migrate copies images and named volumes from an engine that answers Docker's API on this host: all of
them, or those that are named. It finds the sockets that are usual, says what it takes and what it
cannot, and asks. Nothing there is changed or removed. It can be interrupted and run again: what has
come as a whole is not taken twice.`,
		Example: `  linnet migrate --dry-run
  linnet migrate --from colima
  linnet migrate --volumes-only pgdata`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.imagesOnly && f.volumesOnly {
				return Usage(errors.New("migrate: --images-only and --volumes-only leave nothing"), "leave both out to take images and volumes")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			err := a.migrate(ctx, f, args)
			if ctx.Err() != nil && err != nil {
				return hint.New("migrate: interrupted", "run it again to go on: what has come as a whole is not taken again")
			}
			return err
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "a socket's path, or docker, desktop, colima, podman, rancher, orbstack (default: the only one that answers)")
	flags.BoolVar(&f.imagesOnly, "images-only", false, "take no volumes")
	flags.BoolVar(&f.volumesOnly, "volumes-only", false, "take no images")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would be taken, and take nothing")
	flags.BoolVarP(&f.force, "force", "f", false, "do not ask")
	flags.BoolVarP(&f.yes, "yes", "y", false, "the same as --force")
	AddFormat(c, &f.format)
	return c
}

// migration is what is shown: from where, and what becomes of each thing there.
type migration struct {
	From  migrate.Source `json:"from"`
	Items []migrate.Item `json:"items"`
}

func (a *app) migrate(ctx context.Context, f migrateFlags, names []string) (err error) {
	l, err := a.Layout()
	if err != nil {
		return err
	}
	source, _, err := migrate.Host{LookupEnv: os.LookupEnv, Home: os.Getenv("HOME"), Own: l.DockerSocket()}.Choose(ctx, f.from)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	d := migrate.Open(source.Socket)
	there, err := d.List(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	m, err := a.newMover(ctx, d)
	if err != nil {
		return err
	}
	here, err := m.here(ctx, there)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	items, unknown := migrate.Plan(there, here, migrate.Wanted{Images: !f.volumesOnly, Volumes: !f.imagesOnly, Names: names})
	if len(unknown) > 0 {
		return hint.New(fmt.Sprintf("migrate: %s has no %s", source.Socket, strings.Join(unknown, ", ")), "linnet migrate --dry-run lists what it has")
	}
	shown := migration{source, items}
	a.closeReport()
	if f.dryRun {
		return Show(a.streams, f.format, shown, shown.print(a.streams.OutTerminal()))
	}
	if err := shown.print(a.streams.ErrTerminal())(a.streams.Err); err != nil {
		return err
	}
	if shown.count(migrate.Take) == 0 {
		a.note("there is nothing to take")
		return nil
	}
	if !f.force && !f.yes {
		if err := a.agree(ctx, "migrate", fmt.Sprintf("Take %d of them from %s?", shown.count(migrate.Take), source.Socket), "--force"); err != nil {
			return err
		}
	}
	return m.moveAll(ctx, items)
}

// agree asks on the terminal whether a command is to go on; off one it refuses, naming the flag that answers.
func (a *app) agree(ctx context.Context, command, question, flag string) error {
	if !a.streams.InTerminal() {
		return Usage(fmt.Errorf("%s: %w", command, errNotConfirmed), "there is no terminal to ask on: use "+flag)
	}
	answer, err := a.streams.Ask(ctx, question+" [y/N] ", false)
	if errors.Is(err, io.EOF) {
		return errNotConfirmed
	}
	if err != nil {
		return err
	}
	if yes := strings.ToLower(strings.TrimSpace(answer)); yes != "y" && yes != "yes" {
		return errNotConfirmed
	}
	return nil
}

func (m migration) count(f migrate.Fate) (n int) {
	for _, i := range m.Items {
		if i.Fate == f {
			n++
		}
	}
	return n
}

// print writes a table of what becomes of each thing.
func (m migration) print(terminal bool) func(io.Writer) error {
	return func(w io.Writer) error {
		t := report.NewTable(terminal, "KIND", "NAME", "SIZE", "FATE", "WHY")
		for _, i := range m.Items {
			size := ""
			if i.Kind == "image" {
				size = bytesText(i.Size)
			}
			t.Row(i.Kind, i.Name, size, string(i.Fate), i.Why)
		}
		return t.Print(w)
	}
}
