// Package settings is linnet.yaml: what can be set, its defaults, and where each value in
// force comes from.
//
// It exists so that a mistake in the file is told precisely, with every other one, before
// anything is done, and so that the rest of linnet sees typed values only. It never writes the
// file. It must not know what a setting is used for, nor where linnet keeps its things:
// the caller says which file. config/linnet.yaml is the reference, held to this code by a test.
package settings

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode"
)

// Settings are all settings, complete: what the user did not set has its default.
type Settings struct {
	// Backend is where containers run.
	Backend Backend
	Engine  Engine
	Build   Build
	Docker  Docker
	VM      VM
	Log     Log

	// sources says where values come from; a key that is not in it has its default.
	sources map[string]Source
}

// Engine sets up the engine.
type Engine struct {
	// Subnet is the IPv4 pool from which the default network takes its /24, /8 to /22, with
	// no bits set outside its mask.
	Subnet Subnet
	// Snapshotter is the containerd snapshotter that containers and builds use.
	Snapshotter Snapshotter
	// StopTimeout is how long `engine stop` waits between TERM and KILL; 0 is not at all.
	StopTimeout Duration
	// LogSize is the size at which a daemon's log is rotated, and LogFiles how many files of
	// it are kept, the current one included.
	LogSize  Size
	LogFiles Count
	// Registries says which registries are treated specially.
	Registries Registries
	// HostsDirs are absolute paths of directories in the layout of containerd's certs.d, the
	// first that knows a registry wins.
	HostsDirs Dirs
}

// Registries says which registries are treated specially.
type Registries struct {
	// Insecure lists those, as host or host:port, that may be reached over plain HTTP or
	// over TLS that cannot be verified.
	Insecure Hosts
}

// Build sets up building.
type Build struct {
	// Project is the portable name of what is built; empty where it is to be found out.
	Project Name
	// CacheSize is the size below which BuildKit's garbage collection keeps its cache; 0 is any size.
	CacheSize Size
	// CacheAge is how long a part of the cache may go unused before it is collected.
	CacheAge Duration
	// CacheMounts says which builds have a cache mount in common.
	CacheMounts CacheMounts
	// CacheMountAge is how long a cache mount may go unused before it is collected; 0 is for ever.
	CacheMountAge Duration
}

// Docker sets up what speaks Docker's API.
type Docker struct {
	// Socket reports whether the engine listens for clients of that API.
	Socket OnOff
	// Idle is how long it takes, without a request and without a running container, until what answers them is stopped; 0 is
	// for ever.
	Idle Duration
}

// VM sets up the virtual machine. A change takes effect at its next start.
type VM struct {
	// CPUs is how many of the host's it may use at once, Memory how much of the host's.
	CPUs   Count
	Memory Size
	// Disk is the size of the data disk, which grows and never shrinks. It takes up on the
	// host only what is in use.
	Disk Size
	// Image is what it is made from; empty for the image that belongs to the client.
	Image Image
	// Mounts are the host's directories that containers can reach besides the home directory.
	Mounts Mounts
	// MountType is how they get there.
	MountType MountType
	// Accelerator is what runs the machine's instructions.
	Accelerator Accelerator
	// Rosetta reports whether Apple's translator runs amd64 programs.
	Rosetta Switch
	// Ports are what containers may publish on the host.
	Ports Ports
	// ForwardAgent reports whether containers can reach the user's SSH agent.
	ForwardAgent Toggle
}

// Ports bounds what the containers of a virtual machine may publish on the host.
type Ports struct {
	// Max is how many ports they may publish, Lowest the lowest of them, and Address the widest address.
	Max, Lowest Count
	Address     Address
}

// Log says what is told about linnet's own work.
type Log struct {
	// Level is the least important level that is shown.
	Level Level
}

// Facts are what defaults depend on.
type Facts struct {
	// OS is a GOOS.
	OS string
	// Root says that linnet runs as the superuser.
	Root bool
	// Home is the user's home directory and ConfigHome where XDG programs keep their
	// configuration; empty when unknown.
	Home, ConfigHome string
	// CPUs and Memory (in bytes) are what the host has; 0 when unknown.
	CPUs   int
	Memory int64
}

// HostFacts returns the facts of this process.
func HostFacts() Facts {
	f := Facts{
		OS: runtime.GOOS, Root: os.Geteuid() == 0, ConfigHome: os.Getenv("XDG_CONFIG_HOME"),
		CPUs: runtime.NumCPU(), Memory: hostMemory(),
	}
	if home, err := os.UserHomeDir(); err == nil {
		f.Home = home
		if !filepath.IsAbs(f.ConfigHome) {
			f.ConfigHome = filepath.Join(home, ".config")
		}
	}
	return f
}

// Defaults returns the settings that are in force where the user set nothing. With the facts of
// a superuser on a host with 8 CPUs and 16 GiB they are what config/linnet.yaml says.
func Defaults(f Facts) *Settings {
	s := &Settings{
		Backend: Auto,
		Engine: Engine{
			Subnet:      defaultSubnet,
			Snapshotter: Overlayfs,
			StopTimeout: Duration(10 * time.Second),
			LogSize:     10 * MiB,
			LogFiles:    3,
			Registries:  Registries{Insecure: Hosts{}},
			HostsDirs:   Dirs{"/etc/containerd/certs.d", "/etc/docker/certs.d"},
		},
		Build:  Build{CacheSize: 20 * GiB, CacheAge: Duration(720 * time.Hour), CacheMounts: MountsOfProject},
		Docker: Docker{Socket: On, Idle: Duration(10 * time.Minute)},
		VM: VM{
			CPUs: f.share(), Memory: f.half(), Disk: 100 * GiB, Mounts: Mounts{},
			MountType: MountAuto, Accelerator: AcceleratorAuto, Rosetta: SwitchAuto,
			Ports:        Ports{Max: 1000, Lowest: 1024, Address: anyAddress},
			ForwardAgent: ToggleOff,
		},
		Log: Log{Level: LevelInfo},
	}
	if f.OS == "linux" && !f.Root && filepath.IsAbs(f.ConfigHome) {
		own := Dirs{filepath.Join(f.ConfigHome, "containerd/certs.d"), filepath.Join(f.ConfigHome, "docker/certs.d")}
		s.Engine.HostsDirs = append(own, s.Engine.HostsDirs...)
	}
	return s
}

// share is how many CPUs a virtual machine gets: half of the host's, 2 at least where there
// are so many, 8 at most.
func (f Facts) share() Count {
	if f.CPUs == 0 {
		return 2
	}
	return Count(min(f.CPUs, max(2, (f.CPUs+1)/2), 8))
}

// half is how much memory a virtual machine gets: half of the host's in whole steps of
// 256 MiB, 8 GiB at most and 1 GiB at least.
func (f Facts) half() Size {
	if f.Memory == 0 {
		return 4 * GiB
	}
	const step = 256 * MiB
	return min(max(Size(f.Memory)/2/step*step, GiB), 8*GiB)
}

// field ties a key of the file to the place of its value.
type field struct {
	key   string
	value value
	// check refuses a value that has the right form but makes no sense; nil allows all.
	check func() *fault
}

// value is what a field holds. Exactly one of scalar and list is implemented as well.
type value interface{ kind() string }

// scalar takes one text; set leaves it as it was when it fails.
type scalar interface {
	value
	set(text string) *fault
	String() string
}

// list takes any number of texts: item says what is wrong with one of them, put takes them all.
type list interface {
	value
	item(text string) *fault
	put(items []string)
	items() []string
}

// fields is the whole file, in its order. A new setting is a field of the struct, its default,
// a line here and a commented key in config/linnet.yaml.
func (s *Settings) fields() []field {
	return []field{
		{"backend", &s.Backend, nil},
		{"engine.subnet", &s.Engine.Subnet, nil},
		{"engine.snapshotter", &s.Engine.Snapshotter, nil},
		{"engine.stopTimeout", &s.Engine.StopTimeout, s.Engine.StopTimeout.atLeast(0)},
		{"engine.logSize", &s.Engine.LogSize, s.Engine.LogSize.atLeast(64 * KiB)},
		{"engine.logFiles", &s.Engine.LogFiles, s.Engine.LogFiles.between(1, 100)},
		{"engine.registries.insecure", &s.Engine.Registries.Insecure, nil},
		{"engine.hostsDirs", &s.Engine.HostsDirs, nil},
		{"build.project", &s.Build.Project, nil},
		{"build.cacheSize", &s.Build.CacheSize, s.Build.CacheSize.zeroOr(100 * MiB)},
		{"build.cacheAge", &s.Build.CacheAge, s.Build.CacheAge.atLeast(Duration(time.Hour))},
		{"build.cacheMounts", &s.Build.CacheMounts, nil},
		{"build.cacheMountAge", &s.Build.CacheMountAge, nil},
		{"docker.socket", &s.Docker.Socket, nil},
		{"docker.idle", &s.Docker.Idle, s.Docker.Idle.zeroOr(Duration(time.Second))},
		{"vm.cpus", &s.VM.CPUs, s.VM.CPUs.between(1, 1024)},
		{"vm.memory", &s.VM.Memory, s.VM.Memory.atLeast(512 * MiB)},
		{"vm.disk", &s.VM.Disk, s.VM.Disk.atLeast(GiB)},
		{"vm.image", &s.VM.Image, nil},
		{"vm.mounts", &s.VM.Mounts, nil},
		{"vm.mountType", &s.VM.MountType, nil},
		{"vm.accelerator", &s.VM.Accelerator, nil},
		{"vm.rosetta", &s.VM.Rosetta, nil},
		{"vm.ports.max", &s.VM.Ports.Max, s.VM.Ports.Max.between(1, 10_000)},
		{"vm.ports.lowest", &s.VM.Ports.Lowest, s.VM.Ports.Lowest.between(1, 65535)},
		{"vm.ports.address", &s.VM.Ports.Address, nil},
		{"vm.forwardAgent", &s.VM.ForwardAgent, nil},
		{"log.level", &s.Log.Level, nil},
	}
}

// EnvName is the name of the environment variable that sets a key: "engine.stopTimeout" is set
// by LINNET_ENGINE_STOP_TIMEOUT.
func EnvName(key string) string {
	var name strings.Builder
	name.Grow(len("LINNET_") + 2*len(key))
	name.WriteString("LINNET_")
	for _, r := range key {
		switch {
		case r == '.':
			name.WriteByte('_')
			continue
		case r >= 'A' && r <= 'Z':
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToUpper(r))
	}
	return name.String()
}
