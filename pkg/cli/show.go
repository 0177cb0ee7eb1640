package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/streams"
)

// AddFormat adds --format to a command that lists or shows something.
func AddFormat(c *cobra.Command, format *string) {
	c.Flags().StringVar(format, "format", "", `how it is shown: "json", or words when empty`)
}

// Show prints a value as JSON or in words.
func Show(s *streams.Streams, format string, value any, words func(io.Writer) error) error {
	switch format {
	case "", "table", "text":
		return words(s.Out)
	case "json":
		e := json.NewEncoder(s.Out)
		e.SetEscapeHTML(false)
		if s.OutTerminal() {
			e.SetIndent("", "  ")
		}
		return e.Encode(value)
	}
	return Usage(fmt.Errorf("--format: %q is not a format", format), `"json", or leave it out`)
}

var errNotConfirmed = errors.New("not confirmed")

// Confirm asks on the terminal whether something is to be removed; off one it refuses, naming
// what, and the flag.
func Confirm(ctx context.Context, s *streams.Streams, what string) error {
	if !s.InTerminal() {
		return Usage(fmt.Errorf("%w: this removes %s", errNotConfirmed, what), "there is no terminal to ask on: use --force")
	}
	answer, err := s.Ask(ctx, "This removes "+what+". Continue? [y/N] ", false)
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

// NoArgs refuses positionals in the field's words.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return Usage(fmt.Errorf("%s takes no arguments, got %q", strings.TrimPrefix(cmd.CommandPath(), "linnet "), args[0]), cmd.CommandPath()+" --help")
}
