package doctor_test

import (
	"slices"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/doctor"
)

var now = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// healthy is a host of root's, where an engine runs and nothing is wrong.
func healthy() *doctor.Facts {
	return &doctor.Facts{
		OS: "linux", Root: true, User: "alice", Backend: "native", Wanted: "auto", Now: now, Built: now.AddDate(0, -1, 0), Network: true,
		Home: doctor.Home{
			Path: "/h", Exists: true, Writable: true, Longest: 40, Most: 103,
			FS:      doctor.FileSystem{Type: "ext4", Total: 100 << 30, Free: 50 << 30, Inodes: 1 << 22, FreeInodes: 1 << 21},
			Dirs:    []doctor.Dir{{Path: "/h"}, {Path: "/h/native"}},
			Sockets: []doctor.Socket{{Path: "/h/native/run/agent.sock", Listens: true}},
			Locks:   []doctor.Lock{{Path: "/h/native/run/agent.lock", Holder: 7}},
		},
		Kernel: doctor.Kernel{
			Release: "6.1.0-31-amd64", Namespaces: []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}, Overlay: doctor.Yes, Seccomp: doctor.Yes,
			CGroup: doctor.CGroup{Version: "v2", Controllers: []string{"cpu", "io", "memory", "pids"}, Delegated: []string{"cpu", "memory", "pids"}},
			Tun:    doctor.Yes, Forward: doctor.Yes, BridgeFilter: doctor.Yes,
			Binfmt: doctor.Binfmt{Mounted: true, Own: []doctor.BinfmtEntry{{Name: "linnet-1-aarch64", Path: "/b/linnet-1-aarch64", Interpreter: "/q"}}, Wanted: []string{"aarch64"}},
		},
		Rights: doctor.Rights{MaxNamespaces: 9000, Clone: doctor.Yes, AppArmor: doctor.No, SubUIDs: 65536, SubGIDs: 65536, SubKnown: true, Files: 1024, Processes: 9000},
		System: doctor.System{
			IPTables: "/usr/sbin/iptables", Variant: "nft", Nft: true, Libseccomp: doctor.Yes, Memory: 16 << 30, Available: 8 << 30, Watches: 128, Unsynchronised: doctor.No,
		},
		Engine: doctor.Engine{
			State: "running", Client: "1.2.3", Agent: "1.2.3", Runtime: "/run/linnet/1", Snapshotter: "overlayfs",
			Daemons: []doctor.Daemon{{Name: "agent", State: "running"}, {Name: "containerd", State: "running"}, {Name: "dockerd", State: "asleep"}},
			Ports:   []doctor.Port{{Name: "127.0.0.1:8080/tcp"}},
		},
		Components: []doctor.Component{{Name: "runc", Pinned: "v1.2.3", Found: "v1.2.3", Path: "/l/bin/runc", State: "pinned"}},
		VM:         doctor.VM{Image: true, State: "running", Memory: 4 << 30, Accelerator: "auto", Device: "there", ClockKnown: true, Clock: time.Second},
		DNS:        doctor.DNS{File: "/etc/resolv.conf", Servers: []doctor.Server{{Address: "192.0.2.53", Asked: true, Answered: true}}},
		Registries: []doctor.Registry{{Name: "docker.io"}},
		Docker:     doctor.Docker{Config: "/d/config.json", Socket: "/h/docker.sock", Serves: true, System: doctor.Place{Path: "/var/run/docker.sock"}},
	}
}

// ordinary makes facts those of an ordinary user for whom a native engine is wanted.
func ordinary(f *doctor.Facts) { f.Root, f.Wanted = false, "native" }

// inVM makes facts those of an ordinary user whose containers run in the virtual machine.
func inVM(f *doctor.Facts) { f.Root, f.Wanted, f.Backend = false, "lima", "lima" }

func TestAHealthyHostHasNoFault(t *testing.T) {
	mac := func(f *doctor.Facts) {
		inVM(f)
		f.OS, f.VM.OSVersion = "darwin", "14.5"
	}
	for name, change := range map[string]func(*doctor.Facts){"root": func(*doctor.Facts) {}, "ordinary": ordinary, "virtual machine": inVM, "macOS": mac} {
		f := healthy()
		change(f)
		for _, r := range doctor.Judge(f, doctor.Checks()) {
			if r.State != doctor.OK && r.State != doctor.Skipped {
				t.Errorf("%s: %s: %s: %s", name, r.ID, r.State, r.Says)
			}
		}
	}
}

// Facts of which nothing is known are no faults, but for what has to be there.
func TestWhatIsNotKnownIsNoFault(t *testing.T) {
	f := &doctor.Facts{OS: "linux", Root: true, Backend: "native", Home: doctor.Home{Writable: true}, System: doctor.System{IPTables: "/sbin/iptables"}}
	for _, r := range doctor.Judge(f, doctor.Checks()) {
		if r.State == doctor.Failed {
			t.Errorf("%s: %s", r.ID, r.Says)
		}
	}
}

type fault struct {
	check string
	state doctor.State
	says  string // what the line says, whole
	plant func(f *doctor.Facts)
	do    []doctor.Action
}

// faults are faults by name, each planted alone into a healthy host.
var faults = []fault{
	{"home", doctor.Failed, "/h belongs to bob (uid 7), mode 0755", func(f *doctor.Facts) {
		f.Home.Error = &doctor.Problem{Text: "/h belongs to bob (uid 7), mode 0755", Fix: "x"}
	}, nil},
	{"home", doctor.Failed, "/h can be written by others", func(f *doctor.Facts) {
		f.Home.Error, f.Home.Own = &doctor.Problem{Text: "/h can be written by others", Fix: "x"}, "/h"
	}, []doctor.Action{{Kind: doctor.Protect, Path: "/h"}}},
	{"home", doctor.Failed, "/h cannot be written to", func(f *doctor.Facts) { f.Home.Writable = false }, nil},
	{"settings", doctor.Failed, "~/.linnet/linnet.yaml:3: no such key", func(f *doctor.Facts) {
		f.Settings = []doctor.Problem{{Text: "~/.linnet/linnet.yaml:3: no such key", Fix: "x"}}
	}, nil},
	{"socket-length", doctor.Failed, "the longest would have 140 bytes, and the kernel takes 103: /h", func(f *doctor.Facts) { f.Home.Longest = 140 }, nil},
	{"disk-space", doctor.Failed, "100.0 MiB free of 100.0 GiB", func(f *doctor.Facts) { f.Home.FS.Free = 100 << 20 }, nil},
	{"disk-space", doctor.Warning, "3.0 GiB free of 100.0 GiB", func(f *doctor.Facts) { f.Home.FS.Free = 3 << 30 }, nil},
	{"inodes", doctor.Failed, "9 free of 4194304", func(f *doctor.Facts) { f.Home.FS.FreeInodes = 9 }, nil},
	{"file-system", doctor.Failed, "/h is mounted read-only", func(f *doctor.Facts) { f.Home.FS.ReadOnly = true }, nil},
	{"file-system", doctor.Failed, "/h is on nfs4, where containers' owners and locks do not hold", func(f *doctor.Facts) { f.Home.FS.Type = "nfs4" }, nil},
	{"file-system", doctor.Failed, "/h is on overlay, on which overlayfs does not stack", func(f *doctor.Facts) { f.Home.FS.Type = "overlay" }, nil},
	{"file-system", doctor.Warning, "/h is on tmpfs: images, volumes and containers are in memory, and gone with a restart of this machine", func(f *doctor.Facts) { f.Home.FS.Type = "tmpfs" }, nil},
	{"file-system", doctor.Failed, "/h is mounted noexec: no program in a container's image or volume runs", func(f *doctor.Facts) { f.Home.FS.NoExec = true }, nil},
	{"file-system", doctor.Warning, "/h is mounted nodev,nosuid: device files, setuid programs and file capabilities of images may not work", func(f *doctor.Facts) {
		f.Home.FS.NoDev, f.Home.FS.NoSUID = true, true
	}, nil},
	{"directories", doctor.Warning, "/h/native/run is missing", func(f *doctor.Facts) {
		f.Home.Dirs = append(f.Home.Dirs, doctor.Dir{Path: "/h/native/run", Missing: true})
	}, []doctor.Action{{Kind: doctor.MakeDir, Path: "/h/native/run"}}},
	{"directories", doctor.Failed, "/h/native can be written by others", func(f *doctor.Facts) { f.Home.Dirs[1].Open = true }, []doctor.Action{{Kind: doctor.Protect, Path: "/h/native"}}},
	{"directories", doctor.Failed, "/h/native belongs to bob (uid 7)", func(f *doctor.Facts) { f.Home.Dirs[1].Foreign = "bob (uid 7)" }, nil},
	{"directories", doctor.Failed, "/h/native is a symbolic link", func(f *doctor.Facts) { f.Home.Dirs[1].Other = "a symbolic link" }, nil},
	{"sockets", doctor.Warning, "no process listens on /h/native/run/agent.sock: it is left over", func(f *doctor.Facts) { f.Home.Sockets[0].Listens = false }, []doctor.Action{{Kind: doctor.RemoveSocket, Path: "/h/native/run/agent.sock"}}},
	{"sockets", doctor.Warning, "no process listens on /h/native/run/agent.sock", func(f *doctor.Facts) {
		f.Home.Sockets[0].Listens, f.Home.Sockets[0].Guarded = false, true
	}, nil},
	{"sockets", doctor.Failed, "you may not use /h/native/run/agent.sock", func(f *doctor.Facts) { f.Home.Sockets[0].Denied = true }, nil},
	{"locks", doctor.Warning, "process 9 has /h/native/run/start.lock locked: it starts, changes or removes the engine", func(f *doctor.Facts) {
		f.Home.Locks = append(f.Home.Locks, doctor.Lock{Path: "/h/native/run/start.lock", Holder: 9, Momentary: true})
	}, nil},
	{"locks", doctor.Failed, "/h/native/run/agent.lock cannot be locked: it is no file", func(f *doctor.Facts) { f.Home.Locks[0].Other = "it is no file" }, nil},

	{"kernel", doctor.Failed, "Linux 3.10.0-957.el7 is older than 4.18", func(f *doctor.Facts) { f.Kernel.Release = "3.10.0-957.el7" }, nil},
	{"kernel", doctor.Warning, "Linux 5.10.0-34-amd64 is older than 5.11: an ordinary user's containers have no overlayfs", func(f *doctor.Facts) {
		ordinary(f)
		f.Kernel.Release = "5.10.0-34-amd64"
	}, nil},
	{"namespaces", doctor.Failed, "the kernel has no net, pid namespaces", func(f *doctor.Facts) { f.Kernel.Namespaces = []string{"cgroup", "ipc", "mnt", "uts"} }, nil},
	{"overlayfs", doctor.Failed, "the kernel has no overlay file system", func(f *doctor.Facts) { f.Kernel.Overlay = doctor.No }, nil},
	{"cgroups", doctor.Failed, "no hierarchy of control groups is mounted", func(f *doctor.Facts) { f.Kernel.CGroup.Version = "none" }, nil},
	{"cgroups", doctor.Warning, "the kernel has no controller for memory: such limits do not hold", func(f *doctor.Facts) { f.Kernel.CGroup.Controllers = []string{"cpu", "pids"} }, nil},
	{"cgroups", doctor.Warning, "control groups are v1: limits of an ordinary user's containers do not hold", func(f *doctor.Facts) {
		ordinary(f)
		f.Kernel.CGroup.Version = "v1"
	}, nil},
	{"cgroups", doctor.Warning, "your session is given no controller for cpu: such limits do not hold", func(f *doctor.Facts) {
		ordinary(f)
		f.Kernel.CGroup.Delegated = []string{"memory", "pids"}
	}, nil},
	{"seccomp", doctor.Warning, "the kernel filters no system calls", func(f *doctor.Facts) { f.Kernel.Seccomp = doctor.No }, nil},
	{"seccomp", doctor.Failed, "libseccomp is missing", func(f *doctor.Facts) { f.System.Libseccomp = doctor.No }, nil},
	{"tun", doctor.Failed, "/dev/net/tun is missing, or you may not use it", func(f *doctor.Facts) {
		ordinary(f)
		f.Kernel.Tun = doctor.No
	}, nil},
	{"forwarding", doctor.Failed, "net.ipv4.ip_forward is 0 while the engine runs", func(f *doctor.Facts) { f.Kernel.Forward = doctor.No }, nil},
	{"br-netfilter", doctor.Warning, "the kernel has no br_netfilter", func(f *doctor.Facts) { f.Kernel.BridgeFilter = doctor.No }, nil},
	{"binfmt", doctor.Failed, "linnet-1-aarch64 runs programs through /q, which is not there", func(f *doctor.Facts) { f.Kernel.Binfmt.Own[0].Missing = true }, []doctor.Action{{Kind: doctor.RemoveEntry, Path: "/b/linnet-1-aarch64"}}},
	{"binfmt", doctor.Failed, "binfmt_misc is switched off, and with it emulation", func(f *doctor.Facts) { f.Kernel.Binfmt.Disabled = true }, nil},
	{"binfmt", doctor.Warning, "the emulator for aarch64 is no longer registered", func(f *doctor.Facts) { f.Kernel.Binfmt.Own = nil }, nil},

	{"user-namespaces", doctor.Failed, "user.max_user_namespaces is 0", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.MaxNamespaces = 0
	}, nil},
	{"user-namespaces", doctor.Failed, "kernel.unprivileged_userns_clone is 0: only root makes user namespaces", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.Clone = doctor.No
	}, nil},
	{"apparmor", doctor.Failed, "kernel.apparmor_restrict_unprivileged_userns is 1", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.AppArmor = doctor.Yes
	}, nil},
	{"apparmor", doctor.Warning, "kernel.apparmor_restrict_unprivileged_userns is 1", func(f *doctor.Facts) { // the machine is used instead
		inVM(f)
		f.Wanted, f.Rights.AppArmor = "auto", doctor.Yes
	}, nil},
	{"subuid", doctor.Failed, "/etc/subuid has no line for alice", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.SubUIDs = 0
	}, nil},
	{"subuid", doctor.Warning, "/etc/subgid gives alice 1000, and images use up to 65536", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.SubGIDs = 1000
	}, nil},
	{"subuid", doctor.Failed, "newuidmap, newgidmap: not installed", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.Helpers = []string{"newuidmap", "newgidmap"}
	}, nil},
	{"ulimits", doctor.Failed, "this session may open 64 files", func(f *doctor.Facts) { f.Rights.Files = 64 }, nil},
	{"ulimits", doctor.Warning, "this session may have 50 processes", func(f *doctor.Facts) {
		ordinary(f)
		f.Rights.Processes = 50
	}, nil},

	{"iptables", doctor.Failed, "iptables is missing; nft alone will not do", func(f *doctor.Facts) { f.System.IPTables = "" }, nil},
	{"iptables", doctor.Warning, "/usr/sbin/iptables writes nft's tables, and tables of the legacy kind are in use, too", func(f *doctor.Facts) { f.System.Legacy = true }, nil},
	{"memory", doctor.Failed, "50.0 MiB available of 16.0 GiB", func(f *doctor.Facts) { f.System.Available = 50 << 20 }, nil},
	{"inotify", doctor.Warning, "fs.inotify.max_user_instances is 16", func(f *doctor.Facts) { f.System.Watches = 16 }, nil},
	{"clock", doctor.Failed, "it says 1970-01-01, and this linnet was made on 2026-04-06", func(f *doctor.Facts) { f.Now = time.Unix(0, 0) }, nil},
	{"clock", doctor.Warning, "no time server keeps it", func(f *doctor.Facts) { f.System.Unsynchronised = doctor.Yes }, nil},
	{"clock", doctor.Failed, "the virtual machine's clock is 3600 s behind this machine's", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Clock = -time.Hour
	}, nil},

	{"versions", doctor.Warning, "the agent is 1.0.0 and the client 1.2.3", func(f *doctor.Facts) { f.Engine.Agent = "1.0.0" }, nil},
	{"versions", doctor.Failed, "runc is missing: /l/bin/runc", func(f *doctor.Facts) { f.Components[0].State, f.Components[0].Found = "missing", "" }, nil},
	{"versions", doctor.Warning, "runc is v1.0.0 and not the pinned v1.2.3: /l/bin/runc", func(f *doctor.Facts) { f.Components[0].State, f.Components[0].Found = "different", "v1.0.0" }, nil},
	{"versions", doctor.Warning, "runc was built without a-mend: /l/bin/runc", func(f *doctor.Facts) {
		f.Components[0].State, f.Components[0].Unmended = "different", []string{"a-mend"}
	}, nil},
	{"engine", doctor.Failed, "containerd does not run: exit status 2", func(f *doctor.Facts) {
		f.Engine.State, f.Engine.Daemons[1] = "degraded", doctor.Daemon{Name: "containerd", State: "waiting", LastError: "exit status 2"}
	}, nil},
	{"engine", doctor.Warning, "containerd was started again 4 times: signal: killed", func(f *doctor.Facts) {
		f.Engine.Daemons[1].Restarts, f.Engine.Daemons[1].LastError = 4, "signal: killed"
	}, nil},
	{"engine", doctor.Failed, "the agent has ended, and containers or daemons of its run on", func(f *doctor.Facts) { f.Engine.State, f.Engine.Daemons = "degraded", nil }, nil},
	{"engine", doctor.Failed, "/run/linnet/1 is gone while the engine runs", func(f *doctor.Facts) { f.Engine.RuntimeMissing = true }, nil},
	{"ports", doctor.Failed, "127.0.0.1:8080/tcp is not open: address already in use", func(f *doctor.Facts) {
		inVM(f)
		f.Engine.Ports[0].Error = "address already in use"
	}, nil},

	{"vm", doctor.Failed, "a virtual machine needs qemu-img", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Tools = []doctor.Problem{{Text: "a virtual machine needs qemu-img", Fix: "x"}}
	}, nil},
	{"vm", doctor.Failed, "there is no image to make it from", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Image, f.VM.State = false, "absent"
	}, nil},
	{"vm", doctor.Failed, "its host agent runs, and the machine has ended", func(f *doctor.Facts) {
		inVM(f)
		f.VM.State = "hollow"
	}, nil},
	{"vm", doctor.Failed, "it runs, and is not reached: refused", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Relay = "refused"
	}, nil},
	{"vm", doctor.Warning, "vm.memory is 15.0 GiB, and this host has 16.0 GiB", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Memory = 15 << 30
	}, nil},
	{"accelerator", doctor.Warning, "this host has no /dev/kvm", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Device = "absent"
	}, nil},
	{"accelerator", doctor.Failed, "you may not use /dev/kvm", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Device, f.VM.Accelerator = "denied", "kvm"
	}, nil},
	{"accelerator", doctor.Warning, "/dev/kvm is there and does not work: it hangs", func(f *doctor.Facts) {
		inVM(f)
		f.VM.Emulated = "it hangs"
	}, nil},
	{"accelerator", doctor.Failed, "macOS 12.7 has no vz as it is needed: that takes 13", func(f *doctor.Facts) {
		inVM(f)
		f.OS, f.VM.OSVersion = "darwin", "12.7"
	}, nil},

	{"dns", doctor.Failed, "there is no /etc/resolv.conf", func(f *doctor.Facts) { f.DNS.Missing = true }, nil},
	{"dns", doctor.Failed, "/etc/resolv.conf names no server", func(f *doctor.Facts) { f.DNS.Servers = nil }, nil},
	{"dns", doctor.Failed, "none of the servers in /etc/resolv.conf answers: 192.0.2.53", func(f *doctor.Facts) { f.DNS.Servers[0].Answered = false }, nil},
	{"dns", doctor.Warning, "192.0.2.54 does not answer: each look-up may wait for it first", func(f *doctor.Facts) {
		f.DNS.Servers = append(f.DNS.Servers, doctor.Server{Address: "192.0.2.54", Asked: true})
	}, nil},
	{"dns", doctor.Warning, "/etc/resolv.conf names servers on this machine alone (127.0.0.1), which containers do not reach: they ask public ones", func(f *doctor.Facts) { f.DNS.Servers[0].Address = "127.0.0.1" }, nil},
	{"proxy", doctor.Warning, "HTTPS_PROXY is http://***@a:1, and https_proxy is http://b:1", func(f *doctor.Facts) {
		f.Proxy.Upper, f.Proxy.Lower = map[string]string{"HTTPS_PROXY": "http://u:pw@a:1"}, map[string]string{"HTTPS_PROXY": "http://b:1"}
	}, nil},
	{"proxy", doctor.Failed, "HTTPS_PROXY is no proxy's address: ftp://a", func(f *doctor.Facts) { f.Proxy.Upper = map[string]string{"HTTPS_PROXY": "ftp://a"} }, nil},
	{"proxy", doctor.Warning, "HTTP_PROXY is set and HTTPS_PROXY is not: registries are reached without a proxy", func(f *doctor.Facts) { f.Proxy.Upper = map[string]string{"HTTP_PROXY": "http://a:1"} }, nil},
	{"proxy", doctor.Warning, "HTTPS_PROXY is http://a:1 in Docker's configuration, and not set here", func(f *doctor.Facts) { f.Proxy.Docker = map[string]string{"HTTPS_PROXY": "http://a:1"} }, nil},
	{"proxy", doctor.Warning, "HTTPS_PROXY is on this host's loopback (127.0.0.1:3128), which the virtual machine does not reach", func(f *doctor.Facts) {
		inVM(f)
		f.Proxy.Upper = map[string]string{"HTTPS_PROXY": "127.0.0.1:3128"}
	}, nil},
	{"registry", doctor.Failed, "docker.io is not reached: no such host", func(f *doctor.Facts) { f.Registries[0].Error = "no such host" }, nil},

	{"credential-helpers", doctor.Failed, "docker-credential-gone, which credsStore in /d/config.json names, is not in PATH", func(f *doctor.Facts) { f.Docker.Store = "docker-credential-gone" }, nil},
	{"credential-helpers", doctor.Warning, "docker-credential-ecr, which /d/config.json names for r.example, is not in PATH", func(f *doctor.Facts) {
		f.Docker.Helpers = map[string]string{"r.example": "docker-credential-ecr"}
	}, nil},
	{"credential-helpers", doctor.Failed, "/d/config.json is not JSON", func(f *doctor.Facts) {
		f.Docker.ConfigError = &doctor.Problem{Text: "/d/config.json is not JSON", Fix: "x"}
	}, nil},
	{"docker-socket", doctor.Failed, "the engine runs, and /h/docker.sock does not answer", func(f *doctor.Facts) { f.Docker.Serves = false }, nil},
	{"docker-socket", doctor.Warning, "/var/run/docker.sock leads to /h/docker.sock, where no process listens", func(f *doctor.Facts) {
		f.Engine.State, f.Engine.Daemons, f.Docker.Serves = "stopped", nil, false
		f.Docker.System = doctor.Place{Path: "/var/run/docker.sock", Target: "/h/docker.sock", Exists: true, Answers: doctor.No}
	}, []doctor.Action{{Kind: doctor.RemoveLink, Path: "/var/run/docker.sock", Target: "/h/docker.sock"}}},
	{"docker-socket", doctor.Warning, "/var/run/docker.sock is there, and no process listens", func(f *doctor.Facts) {
		f.Docker.System = doctor.Place{Path: "/var/run/docker.sock", Exists: true, Answers: doctor.No}
	}, nil},
	{"docker-clients", doctor.Warning, "DOCKER_HOST leads to unix:///gone.sock, where no process listens", func(f *doctor.Facts) {
		f.Docker.Host, f.Docker.From, f.Docker.HostAnswers = "unix:///gone.sock", "DOCKER_HOST", doctor.No
	}, nil},
}

// Each fault is found, by its check alone, with its reason, what to do, and what a repair would do.
func TestEachFaultIsFoundByName(t *testing.T) {
	checks := map[string]bool{}
	for _, c := range faults {
		t.Run(c.check+": "+c.says, func(t *testing.T) {
			f := healthy()
			c.plant(f)
			var found []string
			for _, r := range doctor.Judge(f, doctor.Checks()) {
				if r.State == doctor.OK || r.State == doctor.Skipped {
					continue
				}
				found = append(found, r.ID+": "+r.Says)
				if r.State != c.state || !slices.Equal(r.Do, c.do) || r.Repairable != (len(c.do) > 0) {
					t.Errorf("%s: %s, %v", r.ID, r.State, r.Do)
				}
				if r.Fix == "" || r.Why == "" {
					t.Errorf("%s: there is no word of what to do, or why: %+v", r.ID, r)
				}
			}
			if want := c.check + ": " + c.says; !slices.Equal(found, []string{want}) {
				t.Errorf("found %q, want %q", found, want)
			}
		})
		checks[c.check] = true
	}
	if len(faults) < 30 {
		t.Errorf("%d faults", len(faults))
	}
	for _, c := range doctor.Checks() {
		if !checks[c.ID] && c.ID != "other-engines" { // which is never a fault
			t.Errorf("no fault is planted for %s", c.ID)
		}
	}
}
