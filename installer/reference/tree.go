package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/cli/buildcmd"
	"github.com/linnet-dev/linnet/pkg/cli/composecmd"
	"github.com/linnet-dev/linnet/pkg/cli/lintcmd"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/route"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// tree is the client's commands, all programs' together, with nerdctl's commands and flags down to the last.
func tree(ctx context.Context) *cobra.Command {
	s, _, _, _ := streams.Test()
	var build *cobra.Command
	compose := func(env *cli.Env) []*cobra.Command {
		build = composecmd.BuildCommand(env)
		return composecmd.Commands(env)
	}
	root := cli.Tree(ctx, route.Build, s, buildcmd.Commands, compose, lintcmd.Commands)
	for _, c := range nerdctl.Root().Commands {
		have, _, err := root.Find([]string{c.Name})
		if err != nil || have == root || !have.DisableFlagParsing && c.Name != "image" && c.Name != "system" {
			continue // linnet's own, or none
		}
		full := expand(c)
		full.GroupID, full.Hidden = have.GroupID, have.Hidden
		root.RemoveCommand(have)
		root.AddCommand(full)
		for _, own := range have.Commands() { // in groups of nerdctl's
			have.RemoveCommand(own)
			full.AddCommand(own)
		}
		if c.Name == "compose" {
			nerdctls, _, _ := full.Find([]string{"build"})
			full.RemoveCommand(nerdctls)
			build.Parent().RemoveCommand(build)
			full.AddCommand(build)
		}
	}
	root.DisableAutoGenTag = true
	return root
}

// expand is a command of nerdctl's, and all below it, as cobra describes commands.
func expand(c *nerdctl.Command) *cobra.Command {
	const program = "linnet"
	full := &cobra.Command{
		Use: nerdctl.Rename(c.Use, program), Aliases: c.Aliases, Hidden: c.Hidden, Deprecated: c.Deprecated,
		Short: nerdctl.Rename(c.Short, program), Long: nerdctl.Rename(c.Long, program), Example: nerdctl.Rename(c.Example, program),
		Run: func(*cobra.Command, []string) {},
	}
	if strings.Contains(strings.ToLower(c.Use), "[flags]") || strings.Contains(c.Use, "[OPTIONS]") {
		full.DisableFlagsInUseLine = true
	}
	full.Flags().AddFlagSet(nerdctl.FlagSet(c, program))
	for _, sub := range c.Commands {
		full.AddCommand(expand(sub))
	}
	return full
}

// each calls do for a command and all below it that are listed, in the order of their names.
func each(c *cobra.Command, do func(*cobra.Command) error) error {
	if err := do(c); err != nil {
		return err
	}
	commands := slices.Clone(c.Commands())
	slices.SortFunc(commands, func(x, y *cobra.Command) int { return strings.Compare(x.Name(), y.Name()) })
	for _, sub := range commands {
		if !sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := each(sub, do); err != nil {
			return err
		}
	}
	return nil
}

// manPages are the pages of all commands, by name: "linnet-run".
func manPages(root *cobra.Command, version string, day time.Time) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := each(root, func(c *cobra.Command) error {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		var page bytes.Buffer
		err := doc.GenMan(c, &doc.GenManHeader{Title: strings.ToUpper(name), Section: "1", Date: &day, Source: "linnet " + version, Manual: "linnet"}, &page)
		all[name] = page.Bytes()
		return err
	})
	return all, err
}

// reference is all commands on one page.
func reference(root *cobra.Command, version string) ([]byte, error) {
	var page bytes.Buffer
	fmt.Fprintf(&page, "# Commands of linnet %s\n\nRead this to look a command or a flag up; `linnet COMMAND --help` says the same.\n\n", version)
	link := func(file string) string {
		return "#" + strings.ReplaceAll(strings.TrimSuffix(file, ".md"), "_", "-")
	}
	err := each(root, func(c *cobra.Command) error {
		var part bytes.Buffer
		err := doc.GenMarkdownCustom(c, &part, link)
		_, _ = io.WriteString(&page, strings.TrimSpace(part.String())+"\n\n")
		return err
	})
	return page.Bytes(), err
}
