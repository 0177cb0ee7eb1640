package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/containerd/log"
	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/containerd/nerdctl/v2/cmd/nerdctl/completion"
	"github.com/containerd/nerdctl/v2/cmd/nerdctl/helpers"
	"github.com/containerd/nerdctl/v2/pkg/config"
	"github.com/containerd/nerdctl/v2/pkg/defaults"
	"github.com/containerd/nerdctl/v2/pkg/rootlessutil"
	"github.com/containerd/nerdctl/v2/pkg/store"
	"github.com/containerd/nerdctl/v2/pkg/version"
)

// newRoot makes the tree of commands. Its persistent flags take their defaults from the file that NERDCTL_TOML names.
func newRoot() (*cobra.Command, error) {
	file := defaults.NerdctlTOML()
	if named, ok := os.LookupEnv("NERDCTL_TOML"); ok {
		file = named
	}
	cfg, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	root := &cobra.Command{
		Use:     "nerdctl",
		Short:   "The command line of containerd",
		Long:    "nerdctl, as linnet runs it. Its configuration ($NERDCTL_TOML): " + file,
		Version: strings.TrimPrefix(version.GetVersion(), "v") + mendsSuffix(),

		RunE:              helpers.UnknownSubcommandAction,
		PersistentPreRunE: prepare,
		SilenceUsage:      true,
		SilenceErrors:     true,
		TraverseChildren:  true, // -a, -H and -n mean something else in subcommands
	}
	aliases := addGlobalFlags(root, cfg)
	addCommands(root)
	for _, c := range root.Commands() {
		c.InheritedFlags().AddFlagSet(aliases)
	}
	return root, nil
}

// readConfig reads nerdctl.toml, strictly; one that is not there is an empty one.
func readConfig(file string) (*config.Config, error) {
	cfg := config.New()
	r, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := toml.NewDecoder(r).DisallowUnknownFields().Decode(cfg); err != nil {
		return nil, fmt.Errorf("reading nerdctl's configuration %s: %w", file, err)
	}
	return cfg, nil
}

// addGlobalFlags declares the persistent flags. It returns short forms that subcommands inherit unless they have their own.
func addGlobalFlags(root *cobra.Command, cfg *config.Config) *pflag.FlagSet {
	inherited := pflag.NewFlagSet(root.Name(), pflag.ExitOnError)
	own := root.PersistentFlags()
	text := func(name string, short, long []string, value, env, usage string) {
		helpers.AddPersistentStringFlag(root, name, short, nil, long, inherited, value, env, usage)
	}
	text("address", []string{"a", "H"}, []string{"host"}, cfg.Address, "CONTAINERD_ADDRESS", "containerd's address")
	text("namespace", []string{"n"}, nil, cfg.Namespace, "CONTAINERD_NAMESPACE", "containerd's namespace")
	text("snapshotter", nil, []string{"storage-driver"}, cfg.Snapshotter, "CONTAINERD_SNAPSHOTTER", "containerd's snapshotter")
	text("cni-path", nil, nil, cfg.CNIPath, "CNI_PATH", "directory of the CNI plugins")
	text("cni-netconfpath", nil, nil, cfg.CNINetConfPath, "NETCONFPATH", "directory of the CNI configurations")
	text("host-gateway-ip", nil, nil, cfg.HostGatewayIP, "NERDCTL_HOST_GATEWAY_IP", "address that host-gateway means in --add-host")
	text("bridge-ip", nil, nil, cfg.BridgeIP, "NERDCTL_BRIDGE_IP", "address of the default bridge")
	helpers.AddPersistentBoolFlag(root, "experimental", nil, nil, cfg.Experimental, "NERDCTL_EXPERIMENTAL", "allow experimental features")

	own.Bool("debug", cfg.Debug, "debug mode")
	own.Bool("debug-full", cfg.DebugFull, "debug mode, with all that other programs print")
	own.String("data-root", cfg.DataRoot, "directory of nerdctl's own persistent state")
	own.String("cgroup-manager", cfg.CgroupManager, `what makes control groups: "cgroupfs", "systemd" or "none"`)
	own.Bool("insecure-registry", cfg.InsecureRegistry, "do not verify certificates of registries, and speak plain HTTP where they do")
	own.StringSlice("hosts-dir", cfg.HostsDir, "directories with a configuration per registry")
	own.Bool("kube-hide-dupe", cfg.KubeHideDupe, "show an image of Kubernetes once")
	own.Bool("selinux-enabled", cfg.SelinuxEnabled, "label for SELinux")
	own.StringSlice("cdi-spec-dirs", cfg.CDISpecDirs, "directories with CDI specifications of devices")
	own.String("userns-remap", cfg.UsernsRemap, `user whose subordinate ids containers get, or "host"`)
	helpers.HiddenPersistentStringArrayFlag(root, "global-dns", cfg.DNS, "name servers of containers")
	helpers.HiddenPersistentStringArrayFlag(root, "global-dns-opts", cfg.DNSOpts, "resolver options of containers")
	helpers.HiddenPersistentStringArrayFlag(root, "global-dns-search", cfg.DNSSearch, "search domains of containers")

	for name, complete := range map[string]cobra.CompletionFunc{
		"namespace": completion.NamespaceNames, "snapshotter": completion.SnapshotterNames,
		"storage-driver": completion.SnapshotterNames, "cgroup-manager": completion.CgroupManagerNames,
	} {
		_ = root.RegisterFlagCompletionFunc(name, complete) // each is declared above
	}
	return inherited
}

// prepare runs before every command, once its flags are parsed.
func prepare(cmd *cobra.Command, args []string) error {
	global, err := helpers.ProcessRootCmdFlags(cmd)
	if err != nil {
		return err
	}
	if global.Debug || global.DebugFull {
		if err := log.SetLevel(log.DebugLevel.String()); err != nil {
			return err
		}
	}
	if scheme, _, ok := strings.Cut(global.Address, "://"); ok && scheme != "unix" {
		return fmt.Errorf("--address: %q is not the path of a unix socket", global.Address)
	}
	if !slices.Contains([]string{"systemd", "cgroupfs", "none"}, global.CgroupManager) {
		return fmt.Errorf("--cgroup-manager: %q is none of systemd, cgroupfs, none", global.CgroupManager)
	}
	// The namespace is a directory's name below the data root.
	if err := store.IsFilesystemSafe(global.Namespace); err != nil {
		return err
	}
	if rootlessutil.IsRootlessParent() && needsNamespaces(cmd, args) {
		return rootlessutil.ParentMain(global.HostGatewayIP) // becomes this program again, in RootlessKit's namespaces
	}
	if err := addHostName(cmd, global.HostGatewayIP); err != nil {
		return err
	}
	return addVariables(cmd)
}

// hostCommands need no engine, or need the host's own mounts: they stay outside RootlessKit's namespaces.
var hostCommands = []string{"", "completion", "login", "logout", "apparmor", "cp", "version", "mends"}

func needsNamespaces(cmd *cobra.Command, args []string) bool {
	if len(args) == 0 && cmd.HasSubCommands() {
		return false // shows its help
	}
	var path []string
	for c := cmd; c.HasParent(); c = c.Parent() {
		path = slices.Insert(path, 0, c.Name())
	}
	if len(path) > 1 && path[1] == "cp" && (path[0] == "container" || path[0] == "compose") {
		return false
	}
	return len(path) == 0 || !slices.Contains(hostCommands, path[0])
}

// dropSavedUID makes sure that a program that was started setuid root cannot go back to its caller's id.
func dropSavedUID() error {
	if uid := unix.Getuid(); uid != 0 && unix.Geteuid() == 0 {
		return unix.Setresuid(0, 0, uid)
	}
	return nil
}
