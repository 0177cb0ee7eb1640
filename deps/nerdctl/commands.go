package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/containerd/nerdctl/v2/cmd/nerdctl/apparmor"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/builder"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/checkpoint"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/compose"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/container"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/helpers"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/image"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/inspect"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/ipfs"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/login"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/manifest"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/namespace"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/network"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/search"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/system"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/volume"
	"github.com/containerd/nerdctl/v2/pkg/clientutil"
	"github.com/containerd/nerdctl/v2/pkg/ocihook"
)

// constructors are nerdctl's commands. TestTheCommandProgramHasNerdctlsCommands (e2e/native) holds them to the tree of the pinned nerdctl.
var constructors = []func() *cobra.Command{
	container.AttachCommand, container.CommitCommand, container.CreateCommand, container.DiffCommand, container.ExecCommand,
	container.ExportCommand, container.HealthCheckCommand, container.KillCommand, container.LogsCommand, container.PauseCommand,
	container.PortCommand, container.PsCommand, container.RemoveCommand, container.RenameCommand, container.RestartCommand,
	container.RunCommand, container.StartCommand, container.StatsCommand, container.StopCommand, container.TopCommand,
	container.UnpauseCommand, container.UpdateCommand, container.WaitCommand,

	image.HistoryCommand, image.ImagesCommand, image.ImportCommand, image.LoadCommand, image.PullCommand, image.PushCommand,
	image.RmiCommand, image.SaveCommand, image.TagCommand, builder.BuildCommand, search.Command, inspect.Command,

	system.EventsCommand, system.InfoCommand, versionCommand, mendsCommand, login.Command, login.LogoutCommand,

	apparmor.Command, builder.Command, checkpoint.Command, compose.Command, container.Command, image.Command, manifest.Command,
	namespace.Command, network.Command, system.Command, volume.Command, ipfs.NewIPFSCommand, internalCommand,
}

const (
	groupManagement = "management"
	groupOther      = "other"
)

func addCommands(root *cobra.Command) {
	root.AddGroup(&cobra.Group{ID: groupManagement, Title: "Management commands:"}, &cobra.Group{ID: groupOther, Title: "Commands:"})
	for _, construct := range constructors {
		c := construct()
		c.GroupID = groupOther
		if c.Annotations[helpers.Category] == helpers.Management {
			c.GroupID = groupManagement
		}
		root.AddCommand(c)
	}
	container.AddCpCommand(root)
}

// internalCommand is what a container's hooks run: it sets its network up and takes it down.
func internalCommand() *cobra.Command {
	internal := &cobra.Command{Use: "internal", Short: "What containers' hooks run", Hidden: true}
	internal.AddCommand(&cobra.Command{
		Use:   "oci-hook EVENT",
		Short: "Set up or take down the network of the container whose state is on standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			global, err := helpers.ProcessRootCmdFlags(cmd)
			if err != nil {
				return err
			}
			data, err := clientutil.DataStore(global.DataRoot, global.Address)
			if err != nil {
				return err
			}
			return ocihook.Run(os.Stdin, os.Stderr, args[0], data, global.CNIPath, global.CNINetConfPath, global.BridgeIP)
		},
	})
	return internal
}
