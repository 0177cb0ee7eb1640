package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/report"
	"github.com/linnet-dev/linnet/pkg/settings"
)

func (a *app) newConfig() *cobra.Command {
	c := group("config", "show and check the settings")
	var format string
	show := &cobra.Command{
		Use: "show", Short: "show every setting in force and where it comes from", Args: NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.Settings()
			if err != nil {
				return err
			}
			return Show(a.streams, format, s.Show(), func(w io.Writer) error { return printSettings(w, s, a.streams.OutTerminal()) })
		},
	}
	AddFormat(show, &format)
	validate := &cobra.Command{
		Use: "validate", Short: "check linnet.yaml and the environment, naming every problem", Args: NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := a.Settings(); err != nil {
				return err
			}
			if a.quiet {
				return nil
			}
			_, err := fmt.Fprintln(a.streams.Err, "the settings are valid")
			return err
		},
	}
	path := &cobra.Command{
		Use: "path", Short: "print where linnet.yaml is looked for", Args: NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.Layout()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.streams.Out, l.Settings())
			return err
		},
	}
	c.AddCommand(show, validate, path)
	return c
}

func printSettings(w io.Writer, s *settings.Settings, terminal bool) error {
	t := report.NewTable(terminal, "KEY", "VALUE", "SOURCE")
	for _, e := range s.Show() {
		t.Row(e.Key, e.Text(), e.Source.String())
	}
	return t.Print(w)
}
