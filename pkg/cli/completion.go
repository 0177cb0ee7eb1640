package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/report"
)

func (a *app) newCompletion(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "print the completion script of a shell",
		Long: `completion prints a script for a shell to read. Flags and commands come from nerdctl's own
tables; names of containers, images, networks and volumes from the engine, if it runs.

  bash: linnet completion bash > /etc/bash_completion.d/linnet
  zsh:  linnet completion zsh > "${fpath[1]}/_linnet"
  fish: linnet completion fish > ~/.config/fish/completions/linnet.fish`,
		Args: cobra.ArbitraryArgs, ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				switch args[0] {
				case "bash":
					return root.GenBashCompletionV2(a.streams.Out, true)
				case "zsh":
					return root.GenZshCompletion(a.streams.Out)
				case "fish":
					return root.GenFishCompletion(a.streams.Out, true)
				}
			}
			return Usage(fmt.Errorf("completion: name one shell, got %q", args), "bash, zsh or fish")
		},
	}
}

// completeNerdctl completes what stands behind a forwarded command: flags and subcommands
// from nerdctl's tables, names from the engine. It never starts the engine.
func (a *app) completeNerdctl(name string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, current string) ([]cobra.Completion, cobra.ShellCompDirective) {
		got := nerdctl.Complete(append([]string{name}, args...), current)
		var words []cobra.Completion
		for _, w := range got.Words {
			if !strings.HasPrefix(w.Text, current) {
				continue
			}
			words = append(words, cobra.CompletionWithDesc(w.Text, nerdctl.Rename(w.About, "linnet")))
		}
		for _, lister := range listers {
			if got.Kinds&lister.kind != 0 {
				words = append(words, a.names(lister.argv)...)
			}
		}
		switch {
		case got.Kinds&nerdctl.Files != 0:
			return words, cobra.ShellCompDirectiveDefault
		case got.Kinds&nerdctl.Directories != 0:
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// listers say how the engine lists the names of a kind, one a line.
var listers = []struct {
	kind nerdctl.Completion
	argv []string
}{
	{nerdctl.Containers, []string{"ps", "--all", "--format", "{{.Names}}"}},
	{nerdctl.Images, []string{"images", "--format", "{{.Repository}}:{{.Tag}}"}},
	{nerdctl.Networks, []string{"network", "ls", "--format", "{{.Name}}"}},
	{nerdctl.Volumes, []string{"volume", "ls", "--format", "{{.Name}}"}},
	{nerdctl.Namespaces, []string{"namespace", "ls", "--quiet"}},
}

// names asks a running engine; from one that does not run there is nothing to learn.
func (a *app) names(argv []string) []cobra.Completion {
	g, err := a.Engine()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, 3*time.Second)
	defer cancel()
	if !g.Running(ctx) {
		return nil
	}
	var out bytes.Buffer
	if err := g.Run(ctx, guest.Process{Argv: append([]string{"nerdctl"}, argv...), Stdout: guest.Limit(&out, guest.CaptureMax)}); err != nil {
		return nil
	}
	var names []cobra.Completion
	for line := range strings.Lines(out.String()) {
		if name := strings.TrimSuffix(strings.TrimSpace(line), ":<none>"); name != "" && name != "<none>" && report.CleanLine(name) == name {
			names = append(names, name)
		}
	}
	return names
}
