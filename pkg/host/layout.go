// Package host is this machine as linnet sees it: its facts, every path that linnet
// creates on it, and the only place that starts local processes.
//
// It must not know what a container, a guest or a command line is.
package host

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Environment variables that steer linnet itself. They are the whole list, apart from the
// LINNET_ variables that stand for settings.
const (
	// EnvHome is the directory of everything persistent; default ~/.linnet.
	EnvHome = "LINNET_HOME"
	// EnvLibexec is the directory of the pinned components; default ../libexec/linnet beside
	// the directory of the program.
	EnvLibexec = "LINNET_LIBEXEC"
)

// Layout names every file and directory that linnet creates or reads. docs/files.md explains
// the same list to people; a test holds the two together.
type Layout struct {
	// Home is LINNET_HOME by its real path, absolute and without symbolic links: everything persistent
	// is under it.
	Home string
	// Libexec holds the pinned components: bin/ and cni/.
	Libexec string
	// Instance is the name of the virtual machine; "" means DefaultInstance.
	Instance string `json:",omitempty"`
	// Runtime is the directory in memory that has one of each home; "" means DefaultRuntime.
	Runtime string `json:",omitempty"`
}

// DefaultInstance is in every path of the virtual machine, so that more can stand beside it; DefaultRuntime is root's.
const (
	DefaultInstance = "default"
	DefaultRuntime  = "/run/linnet"
)

// MaxSocketPath is the longest socket path that every kernel we run on accepts, in bytes, without the final NUL:
// sun_path has 108 bytes on Linux (unix(7)) and 104 on macOS.
const MaxSocketPath = 103

// NewLayout resolves the layout from the environment (lookup, as os.LookupEnv), the user's
// home directory and the path of the running program. Links on the way to Home are followed here, once
// and for all: a home that is not there yet is where they lead. It is an error when a user other than
// root and this one could change what is on the way. Nothing on disk is changed.
func NewLayout(lookup func(string) (string, bool), program string) (Layout, error) {
	var l Layout
	home, ok := lookup(EnvHome)
	if !ok || home == "" {
		user, ok := lookup("HOME")
		if !ok || user == "" {
			return l, &hint.Error{Err: errors.New("finding the home directory: neither LINNET_HOME nor HOME is set"), Fix: "set LINNET_HOME to a directory of your own"}
		}
		home = filepath.Join(user, ".linnet")
	}
	home, err := filepath.Abs(home)
	if err != nil {
		return l, fmt.Errorf("resolving %s: %w", EnvHome, err)
	}
	named := home
	if home, err = own().way(named); err != nil {
		return l, Distrusted("using "+EnvHome+" "+named, err,
			"only root and you may own it and all above it, and write there (chown, chmod go-w); or set LINNET_HOME to another directory")
	}
	l.Home = home
	if longest := l.LongestSocket(); longest > MaxSocketPath {
		most := MaxSocketPath - (longest - len(home))
		return l, hint.With(fmt.Errorf("%s %s is too long for a socket below it: %d bytes, at most %d", EnvHome, home, len(home), most),
			"set LINNET_HOME to a shorter path; a symbolic link to the long one will not do")
	}
	if libexec, ok := lookup(EnvLibexec); ok && libexec != "" {
		l.Libexec, err = filepath.Abs(libexec)
		return l, err
	}
	if target, err := filepath.EvalSymlinks(program); err == nil {
		program = target
	}
	l.Libexec = filepath.Join(filepath.Dir(filepath.Dir(program)), "libexec", "linnet")
	return l, nil
}

// ID tells this home from another on the same machine: eight hexadecimal digits of the
// SHA-256 of its path. It is part of every name that linnet makes outside Home.
func (l Layout) ID() string {
	sum := sha256.Sum256([]byte(l.Home))
	return hex.EncodeToString(sum[:4])
}

// dirs are the directories of linnet that commands go by, and innerDirs those further inside, which are
// safe when the former are. Both leave out what the daemons make for themselves.
func (l Layout) dirs() []string {
	return []string{
		l.Home, l.Engine(), l.Run(), filepath.Dir(l.Spec()), l.NetConf(),
		l.BuildTokens(), l.ImportedCache(), l.Compose(), l.LimaHome(), l.VM(), l.VMRun(), l.Images(), l.Volatile(), l.Stages(),
	}
}

func (l Layout) innerDirs() []string {
	return []string{
		filepath.Dir(l.Log("agent")), l.RegistryHosts(), l.ContainerdRoot(), l.BuildkitRoot(), l.NerdctlRoot(), l.DockerRoot(),
		filepath.Dir(l.NetConf()), l.Leases(), l.RecentBuilds(),
		filepath.Dir(l.LimaKey()), l.LimaInstance(), filepath.Dir(l.LimaDisk()), l.LimaDisk(), filepath.Dir(l.VM()), filepath.Dir(l.VMLog("relay")),
		filepath.Dir(l.Volatile()), l.ContainerdState(), l.DockerState(), l.ShimSockets(), l.Commands(),
	}
}

// Directories are all directories of linnet, there or not, but for what the daemons make for themselves.
func (l Layout) Directories() []string { return append(l.dirs(), l.innerDirs()...) }

// Sockets are all sockets of linnet on this host, there or not.
func (l Layout) Sockets() []string {
	return []string{
		l.DockerSocket(), l.Socket("agent"), l.Socket("containerd"), l.Socket("containerd") + ".ttrpc", l.Socket("buildkitd"), l.Socket("buildkitd-otel"),
		l.Socket("dockerd"), l.VMSocket("agent"), l.VMSocket("relay"),
	}
}

// LongestSocket is the length in bytes of the longest path of a socket of a native engine.
func (l Layout) LongestSocket() int { return len(l.Socket("containerd")) + len(".ttrpc") }

// Settings is the user's own file. linnet reads it and never writes it.
func (l Layout) Settings() string { return filepath.Join(l.Home, "linnet.yaml") }

// BuildTokens holds a random seed from which a build session derives the keys that a registry's
// tokens are bound to: with it an engine uses a token again without having seen a password.
func (l Layout) BuildTokens() string { return filepath.Join(l.Home, "build") }

// RecentBuilds remembers how things were built lately, so that their cache can be exported.
func (l Layout) RecentBuilds() string { return filepath.Join(l.BuildTokens(), "recent") }

// ImportedCache holds build cache from elsewhere, a directory per build.
func (l Layout) ImportedCache() string { return filepath.Join(l.BuildTokens(), "imported") }

// Compose holds a compose file per project that had something to build: what is laid over the
// project's own, now that its images are there.
func (l Layout) Compose() string { return filepath.Join(l.Home, "compose") }

// DockerSocket is where clients of Docker's API find the engine; for their owner alone.
func (l Layout) DockerSocket() string { return filepath.Join(l.Home, "docker.sock") }

// ForgetBuilds removes what clients remember of builds: it is of no use without the engine's data.
func ForgetBuilds(l Layout) error {
	return errors.Join(RemoveTree(l.BuildTokens()), RemoveTree(l.Compose()))
}

// Engine is the directory of the native engine. "native" is the instance's name: every path
// below carries it, so that other engines can stand beside it.
func (l Layout) Engine() string { return filepath.Join(l.Home, "native") }

// ContainerdRoot holds images, snapshots and container metadata; persistent.
func (l Layout) ContainerdRoot() string { return filepath.Join(l.Engine(), "containerd") }

// BuildkitRoot holds the build cache; persistent.
func (l Layout) BuildkitRoot() string { return filepath.Join(l.Engine(), "buildkit") }

// NerdctlRoot is nerdctl's data root: volumes, container logs and names; persistent.
func (l Layout) NerdctlRoot() string { return filepath.Join(l.Engine(), "nerdctl") }

// DockerRoot is dockerd's data root: its containers, volumes and networks; persistent.
func (l Layout) DockerRoot() string { return filepath.Join(l.Engine(), "docker") }

// DockerNetwork remembers which addresses dockerd's networks have.
func (l Layout) DockerNetwork() string { return filepath.Join(l.Engine(), "docker-network.json") }

// SharedImages remembers which images linnet's own commands and dockerd had in common last.
func (l Layout) SharedImages() string { return filepath.Join(l.Engine(), "shared-images.json") }

// NetConf holds a CNI configuration per network; persistent.
func (l Layout) NetConf() string { return filepath.Join(l.Engine(), "cni", "net.d") }

// Leases holds the addresses that host-local has given out, a directory per network.
func (l Layout) Leases() string { return filepath.Join(l.Engine(), "cni", "leases") }

// Config is a configuration file of a daemon, written anew at each start.
func (l Layout) Config(name string) string { return filepath.Join(l.Engine(), "etc", name) }

// Spec is what the client tells the agent when it starts it; written anew at each start.
func (l Layout) Spec() string { return l.Config("engine.json") }

// NerdctlTOML points nerdctl at this engine.
func (l Layout) NerdctlTOML() string { return l.Config("nerdctl.toml") }

// Log is the log of a daemon; rotated ones have .1, .2, ... behind.
func (l Layout) Log(daemon string) string { return filepath.Join(l.Engine(), "log", daemon+".log") }

// Run holds sockets and locks.
func (l Layout) Run() string { return filepath.Join(l.Engine(), "run") }

// Socket is the socket of a daemon: agent, containerd, buildkitd, buildkitd-otel, dockerd.
func (l Layout) Socket(daemon string) string { return filepath.Join(l.Run(), daemon+".sock") }

// StartLock is held by the one client that starts the agent.
func (l Layout) StartLock() string { return filepath.Join(l.Run(), "start.lock") }

// AgentLock is held by the agent for as long as it lives.
func (l Layout) AgentLock() string { return filepath.Join(l.Run(), "agent.lock") }

// Volatile is the directory in memory (outside Home, gone after a reboot) of the runtime's
// bundles and of staged files.
func (l Layout) Volatile() string { return filepath.Join(cmp.Or(l.Runtime, DefaultRuntime), l.ID()) }

// ContainerdState is containerd's state directory: the runtime bundles.
func (l Layout) ContainerdState() string { return filepath.Join(l.Volatile(), "containerd") }

// DockerState is dockerd's directory in memory: runc's state of its containers, and their networks.
func (l Layout) DockerState() string { return filepath.Join(l.Volatile(), "docker") }

// ShimSockets holds the sockets of containerd's shims; containerd takes at most 42 bytes.
func (l Layout) ShimSockets() string { return filepath.Join(l.Volatile(), "s") }

// RegistryHosts holds a hosts.toml per registry that settings call insecure; written anew
// at each start.
func (l Layout) RegistryHosts() string { return l.Config("certs.d") }

// Stages holds a directory per staged directory.
func (l Layout) Stages() string { return filepath.Join(l.Volatile(), "stage") }

// Machine is the name of the virtual machine and of its data disk.
func (l Layout) Machine() string { return cmp.Or(l.Instance, DefaultInstance) }

// LimaHome is Lima's own directory; never the user's ~/.lima.
func (l Layout) LimaHome() string { return filepath.Join(l.Home, "lima") }

// LimaInstance is the virtual machine as Lima keeps it: its configuration, its system disk,
// Lima's logs. It goes with `linnet vm rm`, and nothing in it is missed.
func (l Layout) LimaInstance() string { return filepath.Join(l.LimaHome(), l.Machine()) }

// LimaDisk is the data disk: all that containers keep. It outlives the virtual machine.
func (l Layout) LimaDisk() string { return filepath.Join(l.LimaHome(), "_disks", l.Machine()) }

// LimaKey is the private key that Lima logs into the virtual machine with.
func (l Layout) LimaKey() string { return filepath.Join(l.LimaHome(), "_config", "user") }

// VM is what linnet itself keeps about the virtual machine.
func (l Layout) VM() string { return filepath.Join(l.Home, "vm", l.Machine()) }

// VMRun holds sockets and locks, and VMSocket is a socket: agent, relay.
func (l Layout) VMRun() string { return filepath.Join(l.VM(), "run") }

// VMSocket is a socket on the host of the virtual machine: agent, relay.
func (l Layout) VMSocket(name string) string { return filepath.Join(l.VMRun(), name+".sock") }

// VMLock is a lock: start (held by the one client that changes the virtual machine), relay
// (held by the relay while it lives), limactl (of the start under way, with its process id).
func (l Layout) VMLock(name string) string { return filepath.Join(l.VMRun(), name+".lock") }

// VMLog is a log: relay, limactl-start.
func (l Layout) VMLog(name string) string { return filepath.Join(l.VM(), "log", name+".log") }

// VMConfig is the lima.yaml that limactl is given to make the virtual machine from.
func (l Layout) VMConfig() string { return filepath.Join(l.VM(), "lima.yaml") }

// Accelerator remembers whether this host really runs a guest with KVM.
func (l Layout) Accelerator() string { return filepath.Join(l.VM(), "accelerator.json") }

// HostKey is the public key by which the virtual machine's sshd is known; each start has its own.
func (l Layout) HostKey() string { return filepath.Join(l.VM(), "host_key") }

// VMView holds an empty directory per shared directory that LINNET_HOME is in. The processes of the virtual machine see
// there what is shared, without LINNET_HOME; other processes see nothing there.
func (l Layout) VMView() string { return filepath.Join(l.VM(), "view") }

// Image is the directory of the virtual machine's image for an architecture as Lima names it:
// x86_64, aarch64.
func (l Layout) Image(arch string) string { return filepath.Join(l.Libexec, "image", arch) }

// Images holds the virtual machine's images that were fetched or imported, by digest.
func (l Layout) Images() string { return filepath.Join(l.Home, "images") }

// ImagesLock is held by the one process that changes Images.
func (l Layout) ImagesLock() string { return filepath.Join(l.Images(), "lock") }

// StoredImage is the directory of an image there; digest is the SHA-256 of its packed form in hexadecimal. While it is being
// unpacked it has .new behind its name.
func (l Layout) StoredImage(digest string) string { return filepath.Join(l.Images(), "sha256-"+digest) }

// ImagePart is what has come of an image's packed form, and ImageOrigin says where it comes from.
func (l Layout) ImagePart(digest string) string { return l.StoredImage(digest) + ".part" }

// ImageOrigin is the URL, the size and the validator of what is in ImagePart, as JSON.
func (l Layout) ImageOrigin(digest string) string { return l.StoredImage(digest) + ".origin" }

// ImageImport is a packed form that comes through a pipe, until it is unpacked.
func (l Layout) ImageImport() string { return filepath.Join(l.Images(), "import.part") }

// Binfmt is where the kernel tells which programs it runs through an interpreter, and is told.
func (l Layout) Binfmt() string { return "/proc/sys/fs/binfmt_misc" }

// BinfmtOwn is what the names of linnet's own entries there begin with.
func (l Layout) BinfmtOwn() string { return "linnet-" + l.ID() + "-" }

// BinfmtEntry is linnet's entry for the programs of a kind of machine: aarch64.
func (l Layout) BinfmtEntry(machine string) string {
	return filepath.Join(l.Binfmt(), l.BinfmtOwn()+machine)
}

// BinfmtMarker is an entry that runs nothing: nerdctl looks for that name, and doubts aloud what it
// does not find.
func (l Layout) BinfmtMarker(machine string) string {
	return filepath.Join(l.Binfmt(), "buildkit-qemu-"+machine)
}

// BinfmtExtension is what a BinfmtMarker of linnet's is about: it tells it from others'.
func (l Layout) BinfmtExtension() string { return "linnet-" + l.ID() }

// Emulation says which architectures linnet has registered an emulator for, so that they come
// back after a reboot, or that the user wants none.
func (l Layout) Emulation() string { return filepath.Join(l.Engine(), "emulation") }

// Emulators may hold emulators of other kinds of machine, which go before those of the system.
func (l Layout) Emulators() string { return filepath.Join(l.Libexec, "emulators") }

// Commands holds, in a virtual machine, a file per command that runs for a client.
func (l Layout) Commands() string { return filepath.Join(l.Volatile(), "commands") }

// Ports is the list, in a virtual machine, of the ports that containers publish.
func (l Layout) Ports() string { return filepath.Join(l.Volatile(), "ports") }

// BinDir is the directory of the pinned programs, and Bin one of them.
func (l Layout) BinDir() string { return filepath.Join(l.Libexec, "bin") }

// Bin is a pinned program.
func (l Layout) Bin(name string) string { return filepath.Join(l.BinDir(), name) }

// CNI is the directory of the CNI plugins.
func (l Layout) CNI() string { return filepath.Join(l.Libexec, "cni") }

// Agent is linnet-agent: beside the program, or among the components.
func (l Layout) Agent(program string) string { return l.beside(program, "linnet-agent") }

// Env is linnet-env, which steps of a build run; it is found as linnet-agent is.
func (l Layout) Env(program string) string { return l.beside(program, "linnet-env") }

func (l Layout) beside(program, name string) string {
	if target, err := filepath.EvalSymlinks(program); err == nil {
		program = target
	}
	beside := filepath.Join(filepath.Dir(program), name)
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	return l.Bin(name)
}

// HomeError is what it means that something could not be written in LINNET_HOME, with what to do.
func HomeError(home string, err error) error {
	if hint.Of(err) != "" {
		return err
	}
	fix := "set LINNET_HOME to a directory that you can write to"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		fix = "free some space there, or set LINNET_HOME to a directory on another disk"
	}
	return &hint.Error{Err: fmt.Errorf("writing to %s: %w", home, hint.Cause(err)), Fix: fix}
}
