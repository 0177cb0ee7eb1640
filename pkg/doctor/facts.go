package doctor

import "time"

// Facts are all that checks go by. The zero value of a field is "not known", which no check takes for a fault, unless it says otherwise.
type Facts struct {
	// OS is a GOOS.
	OS string
	// Root says that linnet runs as the superuser; User is the user's name.
	Root bool
	User string
	// Backend is "native" or "lima"; BackendError says why none could be chosen. Wanted is what the settings say.
	Backend, Wanted string
	BackendError    *Problem
	// Network says that machines elsewhere may be asked.
	Network bool
	// Now is the time that this machine has, Built when the running program was made.
	Now, Built time.Time

	Home       Home
	Settings   []Problem
	Kernel     Kernel
	Rights     Rights
	System     System
	Engine     Engine
	Components []Component
	VM         VM
	DNS        DNS
	Proxy      Proxy
	Registries []Registry
	Docker     Docker
}

// Problem is an error with what to do about it.
type Problem struct {
	Text, Fix string
}

// Home is LINNET_HOME and what is in it.
type Home struct {
	// Path is the directory, and Error why it cannot be used. Own is the directory that Error is about, where it is linnet's and this user's.
	Path  string
	Error *Problem
	Own   string
	// Exists says that it is there; Writable that this user may write to it, or make it.
	Exists, Writable bool
	// Longest is the longest path of a socket below it, in bytes, Most what the kernel takes.
	Longest, Most int
	FS            FileSystem
	// Dirs are linnet's directories, as far as an engine has made any.
	Dirs []Dir
	// Sockets and Locks are those that there are.
	Sockets []Socket
	Locks   []Lock
}

// FileSystem is what a directory is on.
type FileSystem struct {
	// Type is as in mountinfo: ext4, overlay, nfs4; on macOS as in statfs(2): apfs.
	Type string
	// Total and Free are in bytes, Inodes and FreeInodes a number of files; 0 of Inodes is no limit.
	Total, Free        int64
	Inodes, FreeInodes int64

	ReadOnly, NoExec, NoDev, NoSUID bool
}

// Dir is a directory of linnet's.
type Dir struct {
	Path string
	// Missing says that it is not there, though what needs it is.
	Missing bool
	// Other is what is there that is no directory: "a symbolic link".
	Other string
	// Foreign is the owner, where that is another user; Open says that others may write there.
	Foreign string
	Open    bool
}

// Socket is a socket of linnet's.
type Socket struct {
	Path string
	// Listens says that a process listens there, Denied that this user may not use it.
	Listens, Denied bool
	// Guarded says that the process to which it belongs lives, so that the socket is that one's to remove.
	Guarded bool
}

// Lock is a file that processes lock.
type Lock struct {
	Path string
	// Other is what is wrong with the file: "it is a directory".
	Other string
	// Holder is the process that has it locked, 0 for none or unknown. Momentary says that nothing holds it for long.
	Holder    int
	Momentary bool
}

// Kernel is Linux.
type Kernel struct {
	// Release is as uname -r says it.
	Release string
	// Namespaces are the names in /proc/self/ns; nil is not known.
	Namespaces []string
	// Overlay says that there is overlayfs, if as a module; Seccomp that there are filters of system calls.
	Overlay, Seccomp Known
	CGroup           CGroup
	// Tun is the device /dev/net/tun.
	Tun Known
	// Forward is net.ipv4.ip_forward, BridgeFilter whether br_netfilter is there, if as a module.
	Forward, BridgeFilter Known
	Binfmt                Binfmt
}

// Known is yes, no, or not known.
type Known string

// What can be known.
const (
	Unknown Known = ""
	Yes     Known = "yes"
	No      Known = "no"
)

// CGroup is what /sys/fs/cgroup is.
type CGroup struct {
	// Version is "v1", "v2", "hybrid", or "none" when nothing is mounted.
	Version string
	// Controllers are those there are, and Delegated those that an ordinary user's session has.
	Controllers, Delegated []string
}

// Binfmt is the kernel's binfmt_misc.
type Binfmt struct {
	// Mounted says that it is there, Disabled that it is switched off.
	Mounted, Disabled bool
	// Own are linnet's entries; Wanted the architectures that are to be emulated, by the names of their machines.
	Own    []BinfmtEntry
	Wanted []string
}

// BinfmtEntry is an entry of linnet's.
type BinfmtEntry struct {
	Name, Path, Interpreter string
	// Missing says that the interpreter is not there; Disabled that the entry is switched off.
	Missing, Disabled bool
}

// Rights are what an ordinary user may do on Linux.
type Rights struct {
	// MaxNamespaces is user.max_user_namespaces, -1 when unknown; Clone is kernel.unprivileged_userns_clone, where there is one.
	MaxNamespaces int64
	Clone         Known
	// AppArmor says that kernel.apparmor_restrict_unprivileged_userns is on.
	AppArmor Known
	// SubUIDs and SubGIDs are how many the user has; Helpers those of newuidmap and newgidmap that are not installed.
	SubUIDs, SubGIDs int64
	SubKnown         bool
	Helpers          []string
	// Files and Processes are the soft limits, 0 when unknown, -1 for none.
	Files, Processes int64
}

// System is what else a host has.
type System struct {
	// IPTables is the program, empty when it is not there, and Variant "nft" or "legacy". Nft says that nft is there, Legacy that
	// tables of the legacy kind are in use.
	IPTables, Variant string
	Nft, Legacy       bool
	// Libseccomp is the library that runc needs.
	Libseccomp Known
	// Memory and Available are in bytes.
	Memory, Available int64
	// Watches is fs.inotify.max_user_instances, 0 when unknown.
	Watches int64
	// Unsynchronised says that the kernel's clock is not kept by a time server.
	Unsynchronised Known
}

// Engine is what runs.
type Engine struct {
	// State is "running", "starting", "degraded" or "stopped"; Error why it could not be asked.
	State   string
	Error   *Problem
	Daemons []Daemon
	// Client and Agent are versions; the latter is empty when none runs.
	Client, Agent string
	// Runtime is the directory in memory of a native engine; RuntimeMissing says that it is gone while the engine runs.
	Runtime        string
	RuntimeMissing bool
	// Snapshotter is the setting.
	Snapshotter string
	// Ports are published ports that could not be opened: "127.0.0.1:80/tcp", with the reason.
	Ports []Port
}

// Daemon is a process of the engine.
type Daemon struct {
	Name, State, LastError string
	Restarts               int
}

// Port is a published port; Error is empty where it is open.
type Port struct{ Name, Error string }

// Component is a pinned program.
type Component struct {
	Name, Pinned, Found, Path string
	// State is "pinned", "missing" or "different".
	State    string
	Unmended []string
}

// VM is the virtual machine.
type VM struct {
	// Tools are programs that it needs and that are not there, with what installs them.
	Tools []Problem
	// Image says that there is one to make it from, ImageFrom where it would be fetched from.
	Image     bool
	ImageFrom string
	// State is "absent", "stopped", "starting", "running" or "hollow" (its host agent has lost it).
	State string
	// Memory is the setting, in bytes.
	Memory int64
	// Accelerator is the setting. Device is how /dev/kvm is: "there", "absent", "denied". Emulated is why KVM was found not to work.
	Accelerator, Device, Emulated string
	// OSVersion is macOS's: vz needs 13.
	OSVersion string
	// Relay is why the machine is not reached, empty where it is; RelayFix what to do.
	Relay, RelayFix string
	// Clock is the machine's clock less this host's; ClockKnown says that it was asked.
	Clock      time.Duration
	ClockKnown bool
}

// DNS is how names are looked up.
type DNS struct {
	// File is the text's origin, Missing says that it is not there.
	File    string
	Missing bool
	Servers []Server
}

// Server is a name server.
type Server struct {
	Address string
	// Answered says that it did; Asked that it was asked.
	Answered, Asked bool
}

// Proxy is what proxies are set: by variable's name, upper case, in the environment, in lower case there, and in Docker's configuration.
type Proxy struct {
	Upper, Lower, Docker map[string]string
}

// Registry is a registry that was asked; Error is why it does not answer.
type Registry struct{ Name, Error string }

// Docker is what on this machine is for Docker's clients.
type Docker struct {
	// Config is the configuration file, ConfigError why it cannot be read.
	Config      string
	ConfigError *Problem
	// Store is credsStore's program where it is not installed, Helpers those of credHelpers, by registry.
	Store   string
	Helpers map[string]string
	// Off says that the settings turn Docker's API off; Socket is the engine's socket.
	Off    bool
	Socket string
	Serves bool
	// System is what is at /var/run/docker.sock.
	System Place
	// Host is where Docker's clients go by DOCKER_HOST or a context, and From which of them says so; HostAnswers whether a process
	// listens there. Only sockets are looked at.
	Host, From  string
	HostAnswers Known
	// Engines are others on this machine.
	Engines []OtherEngine
}

// Place is what is at a path.
type Place struct {
	Path string
	// Target is where a link leads; empty where it is none.
	Target  string
	Exists  bool
	Answers Known
}

// OtherEngine is another engine on this machine; Answers reports whether a process listens on its socket.
type OtherEngine struct {
	Name, Socket string
	Answers      bool
}

// native reports whether the engine runs on this Linux host.
func (f *Facts) native() bool { return f.OS == "linux" && f.Backend == "native" }

// rootless reports whether an ordinary user's native engine is wanted, or would be used where it can be.
func (f *Facts) rootless() bool {
	return f.OS == "linux" && !f.Root && f.Wanted != "lima"
}

// running reports whether an engine runs, if not all of it.
func (f *Facts) running() bool { return f.Engine.State != "" && f.Engine.State != "stopped" }
