package gather

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/host"
)

func TestAHealthyWorldHasNoFault(t *testing.T) {
	w := newWorld(t)
	for _, ordinary := range []bool{false, true} {
		for _, r := range w.judge(ordinary, nil) {
			t.Errorf("ordinary %v: %s: %s", ordinary, r.ID, r.Says)
		}
	}
}

// planted are faults that are made for real. ordinary says that they are an ordinary user's, repairs that Repair takes them away.
var planted = []struct {
	check, says       string
	plant             func(w *world)
	ordinary, repairs bool
	facts             func(f *doctor.Facts) // of what a temporary directory cannot have
}{
	{check: "directories", says: "native/run is missing", repairs: true, plant: func(w *world) { w.remove(w.s.Layout.Run()) }},
	{check: "directories", says: "native can be written by others", repairs: true, plant: func(w *world) { w.must(os.Chmod(w.s.Layout.Engine(), 0o777)) }},
	{check: "directories", says: "is a symbolic link", plant: func(w *world) { w.must(os.Symlink("/", w.s.Layout.BuildTokens())) }},
	{check: "directories", says: "is not a directory", plant: func(w *world) { w.write(w.s.Layout.Compose(), "") }},
	{check: "home", says: "can be written by others", repairs: true, plant: func(w *world) {
		w.must(os.Chmod(w.s.Layout.Home, 0o777))
		w.s.distrust()
	}},
	{check: "home", says: "a later linnet made it", plant: func(w *world) {
		w.write(w.s.Layout.Version(), "99\n")
		w.s.LayoutError = w.s.Layout.CheckVersion()
	}},
	{check: "socket-length", says: "and the kernel takes 103", plant: func(w *world) { w.s.Layout.Home += strings.Repeat("/long", 20) }},
	{check: "sockets", says: "agent.sock: it is left over", repairs: true, plant: func(w *world) { w.deadSocket(w.s.Layout.Socket("agent")) }},
	{check: "sockets", says: "docker.sock: it is left over", repairs: true, plant: func(w *world) { w.deadSocket(w.s.Layout.DockerSocket()) }},
	{check: "sockets", says: "vm/default/run/relay.sock: it is left over", repairs: true, plant: func(w *world) { w.deadSocket(w.s.Layout.VMSocket("relay")) }},
	{check: "locks", says: "agent.lock cannot be locked: it is no file", plant: func(w *world) { w.must(os.Mkdir(w.s.Layout.AgentLock(), 0o700)) }},
	{check: "kernel", says: "is older than 4.18", facts: func(f *doctor.Facts) { f.Kernel.Release = "4.9.0" }},
	{check: "namespaces", says: "no net namespaces", plant: func(w *world) { w.remove("/proc/self/ns/net") }},
	{check: "overlayfs", says: "no overlay file system", plant: func(w *world) { w.write("/proc/filesystems", "\text4\n") }},
	{check: "cgroups", says: "no hierarchy", plant: func(w *world) { w.write("/proc/self/mountinfo", "") }},
	{check: "cgroups", says: "no controller for memory", plant: func(w *world) { w.write("/sys/fs/cgroup/cgroup.controllers", "cpu pids\n") }},
	{check: "cgroups", says: "control groups are v1", ordinary: true, plant: func(w *world) { w.write("/proc/self/mountinfo", fixture(w.t, "mountinfo.v1")) }},
	{check: "seccomp", says: "libseccomp is missing", plant: func(w *world) { w.remove("/usr/lib/libseccomp.so.2") }},
	{check: "seccomp", says: "filters no system calls", plant: func(w *world) {
		w.remove("/proc/sys/kernel/seccomp/actions_avail")
		w.write("/proc/self/status", "Name:\tx\n")
	}},
	{check: "tun", says: "/dev/net/tun is missing", ordinary: true, plant: func(w *world) { w.remove("/dev/net/tun") }},
	{check: "forwarding", says: "ip_forward is 0", plant: func(w *world) { w.write("/proc/sys/net/ipv4/ip_forward", "0\n") }, facts: func(f *doctor.Facts) {
		f.Engine.State, f.Docker.Serves, f.Engine.RuntimeMissing = "running", true, false
	}},
	{check: "binfmt", says: "which is not there", plant: func(w *world) {
		w.write(w.s.Layout.BinfmtEntry("aarch64"), "enabled\ninterpreter /usr/bin/gone\nflags: POCF\n")
	}},
	{check: "binfmt", says: "binfmt_misc is switched off", plant: func(w *world) {
		w.write("/proc/sys/fs/binfmt_misc/status", "disabled\n")
		w.write(w.s.Layout.Emulation(), "arm64\n")
	}},
	{check: "user-namespaces", says: "max_user_namespaces is 0", ordinary: true, plant: func(w *world) { w.write("/proc/sys/user/max_user_namespaces", "0\n") }},
	{check: "user-namespaces", says: "unprivileged_userns_clone is 0", ordinary: true, plant: func(w *world) { w.write("/proc/sys/kernel/unprivileged_userns_clone", "0\n") }},
	{check: "apparmor", says: "is 1", ordinary: true, plant: func(w *world) { w.write("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n") }},
	{check: "subuid", says: "/etc/subuid has no line for alice", ordinary: true, plant: func(w *world) { w.remove("/etc/subuid") }},
	{check: "subuid", says: "newuidmap: not installed", ordinary: true, plant: func(w *world) { w.remove("/usr/bin/newuidmap") }},
	{check: "ulimits", says: "may open 64 files", plant: func(w *world) { w.write("/proc/self/limits", "Max open files 64 64 files\n") }},
	{check: "iptables", says: "iptables is missing", plant: func(w *world) { w.remove("/usr/sbin/iptables") }},
	{check: "iptables", says: "tables of the legacy kind", plant: func(w *world) { w.write("/proc/net/ip_tables_names", "filter\nnat\n") }},
	{check: "memory", says: "1.0 MiB available", plant: func(w *world) { w.write("/proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 1024 kB\n") }},
	{check: "inotify", says: "max_user_instances is 8", plant: func(w *world) { w.write("/proc/sys/fs/inotify/max_user_instances", "8\n") }},
	{check: "dns", says: "there is no /etc/resolv.conf", plant: func(w *world) { w.remove("/etc/resolv.conf") }},
	{check: "dns", says: "names no server", plant: func(w *world) { w.write("/etc/resolv.conf", "search example.test\n") }},
	{check: "dns", says: "127.0.0.54 does not answer", plant: func(w *world) { w.write("/etc/resolv.conf", "nameserver 127.0.0.53\nnameserver 127.0.0.54\n") }},
	{check: "proxy", says: "https_proxy is http://b:1", plant: func(w *world) { w.env["HTTPS_PROXY"], w.env["https_proxy"] = "http://a:1", "http://b:1" }},
	{check: "proxy", says: "in Docker's configuration", plant: func(w *world) {
		w.dockerConfig(map[string]any{"proxies": map[string]any{"default": map[string]string{"httpsProxy": "http://a:1"}}})
	}},
	{check: "credential-helpers", says: "docker-credential-gone, which credsStore", plant: func(w *world) { w.dockerConfig(map[string]any{"credsStore": "gone"}) }},
	{check: "credential-helpers", says: "names for r.example", plant: func(w *world) {
		w.dockerConfig(map[string]any{"credHelpers": map[string]string{"r.example": "gone"}})
	}},
	{check: "credential-helpers", says: "is not JSON", plant: func(w *world) { w.write(w.env["HOME"]+"/.docker/config.json", `{"auths": {"x": {"auth": "c2VjcmV0"`) }},
	{check: "docker-socket", says: "where no process listens", repairs: true, plant: func(w *world) {
		w.must(os.MkdirAll(filepath.Dir(w.s.DockerSocket), 0o700))
		w.must(os.Symlink(w.s.Layout.DockerSocket(), w.s.DockerSocket))
	}},
	{check: "docker-socket", says: "is there, and no process listens", plant: func(w *world) { w.deadSocket(w.s.DockerSocket) }},
	{check: "docker-clients", says: "DOCKER_HOST leads to", plant: func(w *world) { w.env["DOCKER_HOST"] = "unix:///nonexistent/docker.sock" }},
}

// distrust looks at the way to the home, as NewLayout does, but for what is above it: a temporary directory may be anyone's.
func (s *Source) distrust() {
	s.LayoutError = host.Distrusted("using LINNET_HOME", &host.DistrustError{Path: s.Layout.Home, Reason: "can be written by others"}, "chmod go-w")
	if info, err := os.Stat(s.Layout.Home); err == nil && info.Mode()&0o022 == 0 {
		s.LayoutError = nil
	}
}

func TestPlantedFaultsAreFoundAndRepaired(t *testing.T) {
	for _, c := range planted {
		t.Run(c.check+": "+c.says, func(t *testing.T) {
			t.Parallel() // they wait for the disk
			w := newWorld(t)
			if c.plant != nil {
				c.plant(w)
			}
			wrong := w.judge(c.ordinary, c.facts)
			if len(wrong) != 1 || wrong[0].ID != c.check || !strings.Contains(wrong[0].Says, c.says) {
				t.Fatalf("found %+v", wrong)
			}
			if !c.repairs {
				return
			}
			for _, action := range doctor.Actions(wrong) {
				if err := w.s.Repair(t.Context(), action); err != nil {
					t.Error(err)
				}
			}
			if w.s.LayoutError != nil {
				w.s.distrust()
			}
			if still := w.judge(c.ordinary, c.facts); len(still) > 0 {
				t.Errorf("after the repair: %+v", still)
			}
		})
	}
	if len(planted) < 30 {
		t.Errorf("%d faults", len(planted))
	}
}

// The kernel is told to forget an entry; a file keeps what it was told.
func TestABinfmtEntryIsRemovedByTellingTheKernel(t *testing.T) {
	w := newWorld(t)
	entry := w.path(w.s.Layout.BinfmtEntry("aarch64"))
	w.write(entry, "")
	if err := w.s.Repair(t.Context(), doctor.Action{Kind: doctor.RemoveEntry, Path: entry}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(entry); err != nil || string(text) != "-1" {
		t.Errorf("%q, %v", text, err)
	}
}

// What another process has, or what is not linnet's, stays as it is.
func TestRepairTouchesOnlyWhatIsLinnets(t *testing.T) {
	w := newWorld(t)
	l := w.s.Layout
	live := l.Socket("containerd")
	listener, err := net.Listen("unix", live)
	w.must(err)
	defer listener.Close()
	w.write("/etc/file", "")
	w.write("/proc/sys/fs/binfmt_misc/python", "enabled\n")
	w.write(l.Socket("buildkitd"), "no socket")
	for _, c := range []struct {
		action doctor.Action
		says   string
	}{
		{doctor.Action{Kind: doctor.RemoveSocket, Path: live}, "a process listens there by now"},
		{doctor.Action{Kind: doctor.RemoveSocket, Path: l.Socket("buildkitd")}, "it is not linnet's"},
		{doctor.Action{Kind: doctor.RemoveSocket, Path: w.path("/etc/file")}, "it is not linnet's"},
		{doctor.Action{Kind: doctor.Protect, Path: w.path("/etc")}, "it is not linnet's"},
		{doctor.Action{Kind: doctor.MakeDir, Path: w.path("/new")}, "it is not linnet's"},
		{doctor.Action{Kind: doctor.RemoveLink, Path: w.path("/usr/sbin/iptables"), Target: l.DockerSocket()}, "it is not linnet's"},
		{doctor.Action{Kind: doctor.RemoveEntry, Path: w.path("/proc/sys/fs/binfmt_misc/python")}, "it is not linnet's"},
		{doctor.Action{Kind: "dance", Path: "/x"}, "it is not known how"},
	} {
		before, _ := os.Lstat(c.action.Path)
		err := w.s.Repair(t.Context(), c.action)
		if want := string(c.action.Kind) + " " + c.action.Path + ": " + c.says; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		after, _ := os.Lstat(c.action.Path)
		if (before == nil) != (after == nil) || before != nil && before.Mode() != after.Mode() {
			t.Errorf("%s has changed", c.action.Path)
		}
	}
}

// No socket goes while an engine is being started.
func TestNoSocketIsRemovedWhileAnEngineIsStarted(t *testing.T) {
	w := newWorld(t)
	w.deadSocket(w.s.Layout.Socket("agent"))
	lock, err := host.TryLock(w.s.Layout.StartLock())
	w.must(err)
	defer lock.Close()
	err = w.s.Repair(t.Context(), doctor.Action{Kind: doctor.RemoveSocket, Path: w.s.Layout.Socket("agent")})
	if err == nil || !strings.HasSuffix(err.Error(), "an engine runs, or is being started (start.lock)") {
		t.Errorf("%v", err)
	}
	if !there(w.s.Layout.Socket("agent")) {
		t.Error("it is gone")
	}
}

// This kernel's own list of locks names this process.
func TestAHeldLockIsSeen(t *testing.T) {
	w := newWorld(t)
	lock, err := host.TryLock(w.s.Layout.StartLock())
	w.must(err)
	defer lock.Close()
	w.s.Root = "/"
	if id, ok := fileID(w.s.Layout.StartLock()); !ok || w.s.held()[id] != os.Getpid() {
		t.Errorf("%v is held by %v", id, w.s.held()[id])
	}
}

func TestRegistriesAreThoseOfTheConfiguration(t *testing.T) {
	w := newWorld(t)
	w.dockerConfig(map[string]any{
		"auths": map[string]any{"https://index.docker.io/v1/": map[string]string{"auth": "x"}, "r.example:5000": map[string]string{}}, "credHelpers": map[string]string{"q.example": "ecr"},
	})
	if got := w.s.RegistryNames(); !slices.Equal(got, []string{"docker.io", "r.example:5000", "q.example"}) {
		t.Errorf("%v", got)
	}
}

func TestTheFileSystemIsThatOfTheLongestMountPoint(t *testing.T) {
	mounts := []host.Mount{{Point: "/", Type: "ext4"}, {Point: "/h", Type: "nfs4"}, {Point: "/h/n", Type: "tmpfs"}, {Point: "/h/n", Type: "overlay"}}
	for path, want := range map[string]string{"/": "ext4", "/home": "ext4", "/h": "nfs4", "/h/other": "nfs4", "/h/n/x": "overlay"} {
		if got := mountedOn(mounts, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
