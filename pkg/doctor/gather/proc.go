package gather

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/emulate"
	"github.com/linnet-dev/linnet/pkg/host"
)

// readLinux reads what a Linux kernel says in files. release is as uname -r says it.
func (s Source) readLinux(f *doctor.Facts, release string) {
	f.Kernel = s.kernel(release)
	f.Rights = s.rights(f.User)
	f.System = s.system()
}

func (s Source) kernel(release string) doctor.Kernel {
	k := doctor.Kernel{Release: release}
	if entries, err := os.ReadDir(s.at("/proc/self/ns")); err == nil {
		for _, e := range entries {
			k.Namespaces = append(k.Namespaces, e.Name())
		}
	}
	modules := "/lib/modules/" + release
	builtin, _ := s.text(modules + "/modules.builtin")
	if text, ok := s.text("/proc/filesystems"); ok {
		k.Overlay = known(isListed(text, "overlay") || s.has(modules+"/kernel/fs/overlayfs/overlay.ko*"))
	}
	if there(s.at("/proc/sys/kernel/seccomp/actions_avail")) {
		k.Seccomp = doctor.Yes
	} else if text, ok := s.text("/proc/self/status"); ok {
		k.Seccomp = known(strings.Contains(text, "\nSeccomp:"))
	}
	switch {
	case there(s.at("/proc/sys/net/bridge")), isListed(builtin, "br_netfilter"), s.has(modules + "/kernel/net/bridge/br_netfilter.ko*"):
		k.BridgeFilter = doctor.Yes
	case there(s.at(modules)):
		k.BridgeFilter = doctor.No
	}
	if tun, err := os.OpenFile(s.at("/dev/net/tun"), os.O_RDWR, 0); err == nil {
		tun.Close()
		k.Tun = doctor.Yes
	} else {
		k.Tun = doctor.No
	}
	k.Forward = s.flag("/proc/sys/net/ipv4/ip_forward")
	k.CGroup = s.cgroups()
	k.Binfmt = s.binfmt()
	return k
}

// flag is a setting of the kernel's that is 0 or not.
func (s Source) flag(path string) doctor.Known {
	text, _ := s.text(path)
	n, ok := number(text)
	if !ok {
		return doctor.Unknown
	}
	return known(n != 0)
}

func (s Source) cgroups() (c doctor.CGroup) {
	mountinfo, ok := s.text("/proc/self/mountinfo")
	if !ok {
		return c
	}
	c.Version = parseCGroups(mountinfo)
	switch c.Version {
	case "v2":
		text, _ := s.text("/sys/fs/cgroup/cgroup.controllers")
		c.Controllers = strings.Fields(text)
	case "v1", "hybrid":
		text, _ := s.text("/proc/cgroups")
		c.Controllers = parseControllers(text)
	}
	uid := strconv.Itoa(os.Geteuid())
	text, _ := s.text("/sys/fs/cgroup/user.slice/user-" + uid + ".slice/user@" + uid + ".service/cgroup.controllers")
	c.Delegated = strings.Fields(text)
	return c
}

func (s Source) binfmt() (b doctor.Binfmt) {
	l := s.Layout
	status, ok := s.text(l.Binfmt() + "/status")
	b.Mounted, b.Disabled = ok, ok && strings.TrimSpace(status) != "enabled"
	paths, _ := filepath.Glob(s.at(l.BinfmtEntry("*"))) // the pattern is fine
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // removed meanwhile
		}
		e := emulate.ParseEntry(filepath.Base(path), string(text))
		_, err = os.Stat(s.at(e.Interpreter))
		b.Own = append(b.Own, doctor.BinfmtEntry{Name: e.Name, Path: path, Interpreter: e.Interpreter, Missing: err != nil, Disabled: !e.Enabled})
	}
	wanted, _ := os.ReadFile(l.Emulation())
	for _, name := range strings.Fields(string(wanted)) {
		if a, ok := emulate.Find(name); ok {
			b.Wanted = append(b.Wanted, a.Machine)
		}
	}
	return b
}

func (s Source) rights(user string) doctor.Rights {
	r := doctor.Rights{MaxNamespaces: -1, Clone: s.flag("/proc/sys/kernel/unprivileged_userns_clone"), AppArmor: s.flag("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")}
	text, _ := s.text("/proc/sys/user/max_user_namespaces")
	if n, ok := number(text); ok {
		r.MaxNamespaces = n
	}
	uid := strconv.Itoa(os.Geteuid())
	uids, _ := s.text("/etc/subuid") // without the file there are none
	gids, _ := s.text("/etc/subgid")
	r.SubKnown = true
	r.SubUIDs, r.SubGIDs = parseSubIDs(uids, user, uid), parseSubIDs(gids, user, uid)
	for _, helper := range []string{"newuidmap", "newgidmap"} {
		if s.program(helper) == "" {
			r.Helpers = append(r.Helpers, helper)
		}
	}
	// This process has raised its own soft limit, as Go programs do: what it was given is its parent's, and never above the hard limit.
	parent, _ := s.text("/proc/" + strconv.Itoa(os.Getppid()) + "/limits")
	own, _ := s.text("/proc/self/limits")
	for name, to := range map[string]*int64{"Max open files": &r.Files, "Max processes": &r.Processes} {
		soft, _ := parseLimit(parent, name)
		_, hard := parseLimit(own, name)
		*to = narrower(soft, hard)
	}
	return r
}

// program is where the system has one, by the path that the engine searches; empty when it is not there.
func (s Source) program(name string) string {
	for _, dir := range filepath.SplitList(host.SystemPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(s.at(path)); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

func (s Source) system() (y doctor.System) {
	y.IPTables = s.program("iptables")
	y.Nft = s.program("nft") != ""
	if real, err := filepath.EvalSymlinks(s.at(y.IPTables)); err == nil && y.IPTables != "" {
		for _, variant := range []string{"nft", "legacy"} {
			if strings.Contains(filepath.Base(real), "-"+variant) {
				y.Variant = variant
			}
		}
	}
	legacy, _ := s.text("/proc/net/ip_tables_names")
	y.Legacy = slices.Contains(strings.Fields(legacy), "nat") || slices.Contains(strings.Fields(legacy), "filter")
	y.Libseccomp = known(s.has("/lib*/libseccomp.so.2", "/usr/lib*/libseccomp.so.2", "/usr/lib/*/libseccomp.so.2", "/lib/*/libseccomp.so.2"))
	memory, _ := s.text("/proc/meminfo")
	y.Memory, y.Available = parseMemory(memory)
	watches, _ := s.text("/proc/sys/fs/inotify/max_user_instances")
	y.Watches, _ = number(watches)
	return y
}
