package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/containerd/nerdctl/v2/cmd/nerdctl/helpers"
	"github.com/containerd/nerdctl/v2/pkg/clientutil"
	"github.com/containerd/nerdctl/v2/pkg/formatter"
	"github.com/containerd/nerdctl/v2/pkg/infoutil"
	"github.com/containerd/nerdctl/v2/pkg/inspecttypes/dockercompat"
	"github.com/containerd/nerdctl/v2/pkg/rootlessutil"
)

// versionCommand shows the versions of the client and, where it answers, of the engine.
func versionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "version", Short: "Show the versions of nerdctl and of the engine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, failed := versions(cmd)
			if err := writeVersions(cmd.OutOrStdout(), info, format); err != nil {
				return err
			}
			return failed
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `Go template for the output, or "json"`)
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// versions asks the engine for its versions; what is known without it is there even when it does not answer.
func versions(cmd *cobra.Command) (dockercompat.VersionInfo, error) {
	info := dockercompat.VersionInfo{Client: infoutil.ClientVersion()}
	global, err := helpers.ProcessRootCmdFlags(cmd)
	if err != nil {
		return info, err
	}
	address := global.Address
	if rootlessutil.IsRootless() {
		// This command stays outside RootlessKit's namespaces, where the socket has another path.
		if address, err = rootlessutil.RootlessContainredSockAddress(); err != nil {
			return info, err
		}
	}
	client, ctx, cancel, err := clientutil.NewClient(cmd.Context(), global.Namespace, address)
	if err != nil {
		return info, err
	}
	defer cancel()
	info.Server, err = infoutil.ServerVersion(ctx, client)
	return info, err
}

func writeVersions(w io.Writer, info dockercompat.VersionInfo, format string) error {
	if format != "" {
		tmpl, err := formatter.ParseTemplate(format)
		if err != nil {
			return err
		}
		if err := tmpl.Execute(w, info); err != nil {
			return err
		}
		_, err = fmt.Fprintln(w)
		return err
	}
	fmt.Fprintf(w, "Client:\n Version:\t%s\n OS/Arch:\t%s/%s\n Git commit:\t%s\n",
		info.Client.Version, info.Client.Os, info.Client.Arch, info.Client.GitCommit)
	writeComponents(w, info.Client.Components)
	if info.Server != nil {
		fmt.Fprintln(w, "\nServer:")
		writeComponents(w, info.Server.Components)
	}
	return nil
}

func writeComponents(w io.Writer, all []dockercompat.ComponentVersion) {
	for _, c := range all {
		fmt.Fprintf(w, " %s:\n  Version:\t%s\n", c.Name, c.Version)
		for _, name := range slices.Sorted(maps.Keys(c.Details)) {
			fmt.Fprintf(w, "  %s:\t%s\n", name, c.Details[name])
		}
	}
}
