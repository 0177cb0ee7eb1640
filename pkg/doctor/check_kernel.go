package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kernelChecks are about Linux itself.
func kernelChecks() []Check {
	return []Check{
		{
			ID: "kernel", Title: "kernel", judge: judgeKernel,
			Looks: "the version of Linux",
			Why:   "before 4.18 much is missing that containers need; before 5.11 ordinary users cannot mount overlayfs",
		},
		{
			ID: "namespaces", Title: "namespaces", judge: judgeNamespaces,
			Looks: "the kinds of namespaces in /proc/self/ns",
			Why:   "a container is a process in namespaces of its own",
		},
		{
			ID: "overlayfs", Title: "overlayfs", judge: judgeOverlay,
			Looks: "/proc/filesystems and the kernel's modules",
			Why:   "containers' file systems are layers, laid over each other",
		},
		{
			ID: "cgroups", Title: "control groups", judge: judgeCGroups,
			Looks: "which version is mounted on /sys/fs/cgroup, its controllers, and those that an ordinary user has",
			Why:   "without a controller a container's limits do not hold, or it is not started",
		},
		{
			ID: "seccomp", Title: "seccomp", judge: judgeSeccomp,
			Looks: "that the kernel filters system calls, and that libseccomp is installed",
			Why:   "the filter is a wall of each container, and runc needs the library",
		},
		{
			ID: "tun", Title: "/dev/net/tun", judge: judgeTun,
			Looks: "the device",
			Why:   "an ordinary user's containers reach the network through it",
		},
		{
			ID: "forwarding", Title: "IP forwarding", judge: judgeForward,
			Looks: "net.ipv4.ip_forward while an engine runs",
			Why:   "containers reach nothing beyond this machine without it",
		},
		{
			ID: "br-netfilter", Title: "br_netfilter", judge: judgeBridge,
			Looks: "that the module br_netfilter is there",
			Why:   "Docker's API keeps containers of one bridge apart with it",
		},
		{
			ID: "binfmt", Title: "emulation", judge: judgeBinfmt,
			Looks:   "binfmt_misc, and linnet's own entries in it",
			Why:     "programs for other processors end with \"exec format error\" when their emulator is gone",
			Repairs: "removes entries of linnet's whose emulator is gone",
		},
	}
}

// atLeast reports whether a kernel's release is of a version or a later one; what cannot be read is.
func atLeast(release string, major, minor int) bool {
	fields := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(fields) < 2 {
		return true
	}
	a, err1 := strconv.Atoi(fields[0])
	b, err2 := strconv.Atoi(fields[1])
	return err1 != nil || err2 != nil || a > major || a == major && b >= minor
}

func judgeKernel(f *Facts) []Finding {
	switch {
	case f.OS != "linux" || f.Kernel.Release == "":
		return nil
	case !atLeast(f.Kernel.Release, 4, 18) && f.native():
		return []Finding{failed("install a newer kernel", "Linux %s is older than 4.18", f.Kernel.Release)}
	case !atLeast(f.Kernel.Release, 5, 11) && f.rootless():
		return []Finding{warning("install a newer kernel, or let the virtual machine run containers (backend: lima)", "Linux %s is older than 5.11: an ordinary user's containers have no overlayfs", f.Kernel.Release)}
	}
	return []Finding{ok("Linux %s", f.Kernel.Release)}
}

func judgeNamespaces(f *Facts) []Finding {
	if f.OS != "linux" || f.Kernel.Namespaces == nil || !f.native() && !f.rootless() {
		return nil
	}
	var missing []string
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"} {
		if !slices.Contains(f.Kernel.Namespaces, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return []Finding{failed("use a kernel with CONFIG_NAMESPACES and all kinds of them", "the kernel has no %s namespaces", strings.Join(missing, ", "))}
	}
	return []Finding{ok("all kinds are there")}
}

func judgeOverlay(f *Facts) []Finding {
	if !f.native() && !f.rootless() || f.Kernel.Overlay == Unknown {
		return nil
	}
	if f.Kernel.Overlay == No {
		found := failed("modprobe overlay, or set engine.snapshotter: native", "the kernel has no overlay file system")
		if f.Engine.Snapshotter == "native" {
			return []Finding{ok("the kernel has none, and engine.snapshotter is native")}
		}
		return []Finding{found}
	}
	return []Finding{ok("the kernel has it")}
}

// ordinary is the state of a finding that keeps an ordinary user's native engine from running: it fails where that is asked for, and
// is a warning where the virtual machine is used instead.
func ordinary(f *Facts, fix, format string, args ...any) Finding {
	if f.Backend == "native" {
		return failed(fix, format, args...)
	}
	return warning(fix+"; until then the virtual machine runs containers", format, args...)
}

func judgeCGroups(f *Facts) (found []Finding) {
	c := f.Kernel.CGroup
	if !f.native() && !f.rootless() || c.Version == "" {
		return nil
	}
	if c.Version == "none" {
		return []Finding{failed("mount -t cgroup2 none /sys/fs/cgroup", "no hierarchy of control groups is mounted")}
	}
	have, whose := c.Controllers, "the kernel has"
	if !f.Root {
		if c.Version != "v2" {
			return []Finding{warning("boot with systemd.unified_cgroup_hierarchy=1", "control groups are %s: limits of an ordinary user's containers do not hold", c.Version)}
		}
		have, whose = c.Delegated, "your session is given"
	}
	var missing []string
	for _, name := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		fix := "boot with cgroup_enable=" + strings.Join(missing, " cgroup_enable=")
		if !f.Root {
			fix = "have systemd delegate them: Delegate=cpu cpuset io memory pids in user@.service"
		}
		found = append(found, warning(fix, "%s no controller for %s: such limits do not hold", whose, strings.Join(missing, ", ")))
	}
	return orOK(found, "%s, with %s", c.Version, strings.Join(have, ", "))
}

func judgeSeccomp(f *Facts) (found []Finding) {
	if !f.native() && !f.rootless() {
		return nil
	}
	if f.Kernel.Seccomp == No {
		found = append(found, warning("use a kernel with CONFIG_SECCOMP_FILTER", "the kernel filters no system calls"))
	}
	if f.System.Libseccomp == No {
		found = append(found, failed("apt install libseccomp2", "libseccomp is missing"))
	}
	return orOK(found, "the kernel filters system calls, and libseccomp is there")
}

func judgeTun(f *Facts) []Finding {
	if !f.rootless() || f.Kernel.Tun == Unknown {
		return nil
	}
	if f.Kernel.Tun == No {
		return []Finding{ordinary(f, "modprobe tun, and chmod 0666 /dev/net/tun", "/dev/net/tun is missing, or you may not use it")}
	}
	return []Finding{ok("it can be used")}
}

func judgeForward(f *Facts) []Finding {
	if !f.native() || !f.Root || f.Kernel.Forward == Unknown {
		return nil
	}
	if f.Kernel.Forward == No && f.running() {
		return []Finding{failed("sysctl -w net.ipv4.ip_forward=1, and see what turns it off", "net.ipv4.ip_forward is 0 while the engine runs")}
	}
	if f.Kernel.Forward == No {
		return []Finding{ok("it is off; the engine turns it on with its network")}
	}
	return []Finding{ok("it is on")}
}

func judgeBridge(f *Facts) []Finding {
	if !f.native() || !f.Root || f.Docker.Off || f.Kernel.BridgeFilter == Unknown {
		return nil
	}
	if f.Kernel.BridgeFilter == No {
		return []Finding{warning("install the kernel's modules, or use a kernel with CONFIG_BRIDGE_NETFILTER", "the kernel has no br_netfilter")}
	}
	return []Finding{ok("it is there")}
}

func judgeBinfmt(f *Facts) (found []Finding) {
	if !f.native() {
		return nil
	}
	b := f.Kernel.Binfmt
	if !b.Mounted {
		return []Finding{ok("binfmt_misc is not mounted; the first command that needs emulation mounts it")}
	}
	if b.Disabled && len(b.Own)+len(b.Wanted) > 0 {
		found = append(found, failed("as root: echo 1 >/proc/sys/fs/binfmt_misc/status", "binfmt_misc is switched off, and with it emulation"))
	}
	have := []string{}
	for _, e := range b.Own {
		machine := e.Name[strings.LastIndex(e.Name, "-")+1:]
		switch {
		case e.Missing:
			w := failed("install qemu-user-static, then linnet emulation enable; linnet doctor --fix removes the entry",
				"%s runs programs through %s, which is not there", e.Name, e.Interpreter)
			w.Do = []Action{{Kind: RemoveEntry, Path: e.Path}}
			found = append(found, w)
		case e.Disabled:
			found = append(found, warning("as root: echo 1 >"+e.Path, "%s is switched off", e.Name))
		default:
			have = append(have, machine)
		}
	}
	if f.running() {
		for _, machine := range b.Wanted {
			if !slices.ContainsFunc(b.Own, func(e BinfmtEntry) bool { return strings.HasSuffix(e.Name, "-"+machine) }) {
				found = append(found, warning("linnet emulation enable", "the emulator for %s is no longer registered", machine))
			}
		}
	}
	return orOK(found, "%s of linnet's registered", plural(len(have), "emulator"))
}

// plural is a number of things in words.
func plural(n int, thing string) string {
	switch n {
	case 0:
		return "no " + thing
	case 1:
		return "one " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
