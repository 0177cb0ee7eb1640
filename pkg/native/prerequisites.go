package native

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// facts are what the engine needs to know of this host before it is started.
type facts struct {
	os         string
	uid        int
	iptables   bool
	overlay    bool
	cgroups    bool
	libseccomp bool
	components []string // pinned programs that are absent
	libexec    string
}

// programs are what the engine cannot do without.
var programs = []string{
	"bin/nerdctl", "bin/containerd", "bin/containerd-shim-runc-v2", "bin/runc", "bin/buildkitd", "bin/buildctl",
	"cni/bridge", "cni/host-local", "cni/portmap", "cni/firewall", "cni/tuning", "cni/loopback",
}

func observe(l host.Layout, program string) facts {
	f := facts{os: runtime.GOOS, uid: os.Geteuid(), libexec: l.Libexec}
	for _, dir := range filepath.SplitList(host.SystemPath) {
		if info, err := os.Stat(filepath.Join(dir, "iptables")); err == nil && info.Mode()&0o111 != 0 {
			f.iptables = true
		}
	}
	if text, err := os.ReadFile("/proc/filesystems"); err == nil {
		f.overlay = strings.Contains(string(text), "\toverlay\n")
	}
	if !f.overlay {
		// Not loaded yet, but perhaps a module: modprobe is containerd's to call.
		found, _ := filepath.Glob("/lib/modules/" + release() + "/kernel/fs/overlayfs/overlay.ko*")
		f.overlay = len(found) > 0
	}
	if text, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.cgroups = strings.Contains(string(text), " - cgroup")
	}
	for _, pattern := range []string{"/lib*/libseccomp.so.2", "/usr/lib*/libseccomp.so.2", "/usr/lib/*/libseccomp.so.2", "/lib/*/libseccomp.so.2"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			f.libseccomp = true
		}
	}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(l.Libexec, p)); err != nil {
			f.components = append(f.components, p)
		}
	}
	if _, err := os.Stat(l.Agent(program)); err != nil {
		f.components = append(f.components, "bin/linnet-agent")
	}
	return f
}

// Prerequisites are what is missing on this host, one line each, with what to do about it.
type Prerequisites []string

func (p Prerequisites) Error() string { return strings.Join(p, "\n") }

// missing says what has to be there before an engine can start; pure.
func missing(f facts) Prerequisites {
	var out Prerequisites
	need := func(ok bool, what, fix string) {
		if !ok {
			out = append(out, fmt.Sprintf("starting the engine: %s (%s)", what, fix))
		}
	}
	if f.os != "linux" {
		return Prerequisites{fmt.Sprintf("starting the engine: the native engine runs on Linux, and this is %s (run linnet on Linux)", f.os)}
	}
	need(f.uid == 0, "the native engine needs root", "run it with sudo; a rootless engine is not there yet")
	need(f.iptables, "iptables is missing", "apt install iptables")
	need(f.libseccomp, "libseccomp is missing", "apt install libseccomp2")
	need(f.overlay, "the kernel has no overlay filesystem", "modprobe overlay, or set engine.snapshotter: native")
	need(f.cgroups, "no cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
	need(len(f.components) == 0, fmt.Sprintf("%s not in %s", strings.Join(f.components, ", "), f.libexec), "make deps")
	return out
}
