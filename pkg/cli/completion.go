package cli

import (
	"fmt"

	"github.com/spf13/cobra"
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
			return &usageError{err: fmt.Errorf("completion: name one shell, got %q", args), hint: "bash, zsh or fish"}
		},
	}
}

// completeNerdctl completes what stands behind a forwarded command.
func (a *app) completeNerdctl(string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveDefault
	}
}
