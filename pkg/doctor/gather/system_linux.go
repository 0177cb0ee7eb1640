package gather

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/host"
)

// readSystem reads what this kernel and this system are.
func (s Source) readSystem(f *doctor.Facts) {
	var name unix.Utsname
	release := ""
	if unix.Uname(&name) == nil {
		release = unix.ByteSliceToString(name.Release[:])
	}
	s.readLinux(f, release)
	var clock unix.Timex // without modes it is only read
	if state, err := unix.Adjtimex(&clock); err == nil {
		f.System.Unsynchronised = known(state == unix.TIME_ERROR || clock.Status&unix.STA_UNSYNC != 0)
	}
	f.VM.Device = device("/dev/kvm")
}

// device says how a device is: "there", "absent", "denied".
func device(path string) string {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
		return "there"
	case os.IsPermission(err):
		return "denied"
	}
	return "absent"
}

// fileSystem is what a directory that is there is on.
func fileSystem(dir string) (fs doctor.FileSystem) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return fs
	}
	fs = doctor.FileSystem{
		Total: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize, Inodes: int64(st.Files), FreeInodes: int64(st.Ffree), //nolint:gosec // of this size none is
		ReadOnly: st.Flags&unix.ST_RDONLY != 0, NoExec: st.Flags&unix.ST_NOEXEC != 0, NoDev: st.Flags&unix.ST_NODEV != 0, NoSUID: st.Flags&unix.ST_NOSUID != 0,
	}
	mounts, err := host.Mounts()
	if err != nil {
		return fs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	fs.Type = mountedOn(mounts, dir)
	return fs
}

// mountedOn is the kind of file system that a real path is on: of the longest mount point, and of several there the last.
func mountedOn(mounts []host.Mount, path string) (kind string) {
	longest := -1
	for _, m := range mounts {
		on := m.Point == "/" || m.Point == path || strings.HasPrefix(path, m.Point+"/")
		if on && len(m.Point) >= longest {
			longest, kind = len(m.Point), m.Type
		}
	}
	return kind
}

// split takes the number of a device apart, as /proc/locks has it.
func split(dev uint64) (major, minor uint32) { return unix.Major(dev), unix.Minor(dev) }
