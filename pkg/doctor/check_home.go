package doctor

import (
	"slices"
	"strings"
)

// homeChecks are about LINNET_HOME and what is in it.
func homeChecks() []Check {
	return []Check{
		{
			ID: "home", Title: "LINNET_HOME", judge: judgeHome,
			Looks:   "that `LINNET_HOME` is yours and root's alone to change, writable, and of a version that this linnet knows",
			Why:     "no command uses a directory that another user could change",
			Repairs: "takes from others the right to write to it, where it is yours",
		},
		{
			ID: "settings", Title: "linnet.yaml", judge: judgeSettings,
			Looks: "linnet.yaml and the `LINNET_` variables",
			Why:   "no command goes by settings with a mistake in them",
		},
		{
			ID: "socket-length", Title: "length of sockets' paths", judge: judgeSocketLength,
			Looks: "the longest path of a socket below `LINNET_HOME`",
			Why:   "the kernel takes about a hundred bytes",
		},
		{
			ID: "disk-space", Title: "disk space", judge: judgeSpace,
			Looks: "the free space of the file system of `LINNET_HOME`",
			Why:   "pulls and builds end in the middle on a full disk",
		},
		{
			ID: "inodes", Title: "inodes", judge: judgeInodes,
			Looks: "how many files that file system can still hold",
			Why:   "images are many small files, and unpacking one ends with \"no space left\" on a disk with space",
		},
		{
			ID: "file-system", Title: "file system", judge: judgeFileSystem,
			Looks: "its kind, and the options that it is mounted with",
			Why:   "overlayfs does not stack on every file system, and containers need programs, devices and owners in it",
		},
		{
			ID: "directories", Title: "linnet's directories", judge: judgeDirs,
			Looks:   "that the directories in it and in /run/linnet are there, are directories, and are yours alone to change",
			Why:     "commands refuse to go by what another user could have put there",
			Repairs: "makes those that are missing, and takes from others the right to write to yours",
		},
		{
			ID: "sockets", Title: "sockets", judge: judgeSockets,
			Looks:   "the sockets there, and whether a process listens on each",
			Why:     "a socket without a process is what a killed process or a power cut leaves",
			Repairs: "removes sockets without a process, when no engine could be starting",
		},
		{
			ID: "locks", Title: "locks", judge: judgeLocks,
			Looks: "the lock files there, and which process has one locked that is locked for a moment only",
			Why:   "a command that hangs with a lock keeps all others waiting",
		},
	}
}

func judgeHome(f *Facts) []Finding {
	h := f.Home
	switch {
	case h.Error != nil:
		found := failed(h.Error.Fix, "%s", h.Error.Text)
		if h.Own != "" {
			found.Do = []Action{{Kind: Protect, Path: h.Own}}
		}
		return []Finding{found}
	case !h.Writable:
		return []Finding{failed("set LINNET_HOME to a directory that you can write to", "%s cannot be written to", h.Path)}
	case !h.Exists:
		return []Finding{ok("%s is not there yet; the first command makes it", h.Path)}
	}
	return []Finding{ok("%s", h.Path)}
}

func judgeSettings(f *Facts) (found []Finding) {
	for _, p := range f.Settings {
		found = append(found, failed(p.Fix, "%s", p.Text))
	}
	if f.BackendError != nil {
		found = append(found, failed(f.BackendError.Fix, "%s", f.BackendError.Text))
	}
	return orOK(found, "no mistake in them; containers run with the backend %s", f.Backend)
}

func judgeSocketLength(f *Facts) []Finding {
	h := f.Home
	if h.Most == 0 {
		return nil
	}
	if h.Longest > h.Most {
		return []Finding{failed("set LINNET_HOME to a shorter path; a symbolic link to the long one will not do",
			"the longest would have %d bytes, and the kernel takes %d: %s", h.Longest, h.Most, h.Path)}
	}
	return []Finding{ok("the longest has %d of %d bytes", h.Longest, h.Most)}
}

// The amounts of free space, in bytes, below which a pull or a build is likely to end in the middle, or may; and of inodes.
const (
	leastSpace, littleSpace   = 1 << 30, 5 << 30
	leastInodes, littleInodes = 10_000, 100_000
)

func judgeSpace(f *Facts) []Finding {
	fs := f.Home.FS
	fix := "linnet system prune and linnet cache prune free what is unused; or set LINNET_HOME to a directory on another disk"
	switch {
	case fs.Total == 0:
		return nil
	case fs.Free < leastSpace:
		return []Finding{failed(fix, "%s free of %s", bytes(fs.Free), bytes(fs.Total))}
	case fs.Free < littleSpace:
		return []Finding{warning(fix, "%s free of %s", bytes(fs.Free), bytes(fs.Total))}
	}
	return []Finding{ok("%s free of %s", bytes(fs.Free), bytes(fs.Total))}
}

func judgeInodes(f *Facts) []Finding {
	fs := f.Home.FS
	fix := "remove what has many small files, such as unused images (linnet system prune)"
	switch {
	case fs.Inodes == 0:
		return nil
	case fs.FreeInodes < leastInodes:
		return []Finding{failed(fix, "%d free of %d", fs.FreeInodes, fs.Inodes)}
	case fs.FreeInodes < littleInodes:
		return []Finding{warning(fix, "%d free of %d", fs.FreeInodes, fs.Inodes)}
	}
	return []Finding{ok("%d free of %d", fs.FreeInodes, fs.Inodes)}
}

// overNetwork are file systems whose files are elsewhere, or go through another process.
var overNetwork = []string{"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "afpfs", "webdav", "vboxsf", "fuse.sshfs"}

func judgeFileSystem(f *Facts) (found []Finding) {
	fs := f.Home.FS
	const elsewhere = "set LINNET_HOME to a directory on a local disk"
	if fs.Type == "" {
		return nil
	}
	if fs.ReadOnly {
		found = append(found, failed(elsewhere+", or mount this one for writing", "%s is mounted read-only", f.Home.Path))
	}
	switch {
	case slices.Contains(overNetwork, fs.Type):
		found = append(found, failed(elsewhere, "%s is on %s, where containers' owners and locks do not hold", f.Home.Path, fs.Type))
	case fs.Type == "overlay" && f.native() && f.Engine.Snapshotter == "overlayfs":
		found = append(found, failed("set LINNET_HOME to a directory on a disk or a volume; or set engine.snapshotter: native", "%s is on overlay, on which overlayfs does not stack", f.Home.Path))
	case fs.Type == "tmpfs" || fs.Type == "ramfs":
		found = append(found, warning(elsewhere, "%s is on %s: images, volumes and containers are in memory, and gone with a restart of this machine", f.Home.Path, fs.Type))
	}
	if !f.native() {
		return orOK(found, "%s", fs.Type)
	}
	if fs.NoExec {
		found = append(found, failed("mount it without noexec, or "+elsewhere, "%s is mounted noexec: no program in a container's image or volume runs", f.Home.Path))
	}
	var without []string
	if fs.NoDev {
		without = append(without, "nodev")
	}
	if fs.NoSUID {
		without = append(without, "nosuid")
	}
	if len(without) > 0 && f.Root {
		found = append(found, warning("mount it without, where images need that", "%s is mounted %s: device files, setuid programs and file capabilities of images may not work", f.Home.Path, strings.Join(without, ",")))
	}
	return orOK(found, "%s", fs.Type)
}

func judgeDirs(f *Facts) (found []Finding) {
	if f.Home.Error != nil && len(f.Home.Dirs) == 0 {
		return nil
	}
	const look = "see what is in it and who made it; then remove it, or make it a directory of yours alone (chown, chmod go-w)"
	for _, d := range f.Home.Dirs {
		switch {
		case d.Missing:
			w := warning("linnet doctor --fix makes it, and so does the next start of the engine", "%s is missing", d.Path)
			w.Do = []Action{{Kind: MakeDir, Path: d.Path}}
			found = append(found, w)
		case d.Other != "":
			found = append(found, failed(look, "%s is %s", d.Path, d.Other))
		case d.Foreign != "":
			found = append(found, failed(look, "%s belongs to %s", d.Path, d.Foreign))
		case d.Open:
			w := failed("see what is in it; then linnet doctor --fix, or chmod go-w it", "%s can be written by others", d.Path)
			w.Do = []Action{{Kind: Protect, Path: d.Path}}
			found = append(found, w)
		}
	}
	if len(f.Home.Dirs) == 0 {
		return []Finding{ok("no engine has made any yet")}
	}
	return orOK(found, "%d of them, yours alone to change", len(f.Home.Dirs))
}

func judgeSockets(f *Facts) (found []Finding) {
	for _, s := range f.Home.Sockets {
		switch {
		case s.Denied:
			found = append(found, failed("remove it as the user who made it, or use another LINNET_HOME", "you may not use %s", s.Path))
		case s.Listens:
		case s.Guarded:
			found = append(found, warning("linnet engine status shows whether that process is being started again", "no process listens on %s", s.Path))
		default:
			w := warning("linnet doctor --fix removes it, and so does the next start of the engine", "no process listens on %s: it is left over", s.Path)
			w.Do = []Action{{Kind: RemoveSocket, Path: s.Path}}
			found = append(found, w)
		}
	}
	return orOK(found, "none is left over")
}

func judgeLocks(f *Facts) (found []Finding) {
	for _, l := range f.Home.Locks {
		switch {
		case l.Other != "":
			found = append(found, failed("see who made it; then remove it", "%s cannot be locked: %s", l.Path, l.Other))
		case l.Holder != 0 && l.Momentary:
			found = append(found, warning("wait for that command, or end it when it hangs", "process %d has %s locked: it starts, changes or removes the engine", l.Holder, l.Path))
		}
	}
	return orOK(found, "no command has locked the engine")
}
