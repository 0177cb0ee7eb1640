package gather

import (
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/doctor"
)

// readSystem reads what this system is.
func (s Source) readSystem(f *doctor.Facts) {
	if n, err := unix.SysctlUint64("hw.memsize"); err == nil {
		f.System.Memory = int64(n) //nolint:gosec // of this size none is
	}
	f.VM.OSVersion, _ = unix.Sysctl("kern.osproductversion") // unknown is empty
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		f.Rights.Files = int64(min(files.Max, 1<<62)) //nolint:gosec // bounded
	}
}

// fileSystem is what a directory that is there is on.
func fileSystem(dir string) (fs doctor.FileSystem) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return fs
	}
	return doctor.FileSystem{
		Type:  unix.ByteSliceToString(st.Fstypename[:]),
		Total: int64(st.Blocks) * int64(st.Bsize), Free: int64(st.Bavail) * int64(st.Bsize), Inodes: int64(st.Files), FreeInodes: int64(st.Ffree), //nolint:gosec // of this size none is
		ReadOnly: st.Flags&unix.MNT_RDONLY != 0, NoExec: st.Flags&unix.MNT_NOEXEC != 0, NoDev: st.Flags&unix.MNT_NODEV != 0, NoSUID: st.Flags&unix.MNT_NOSUID != 0,
	}
}

// split takes the number of a device apart; macOS has no /proc/locks that has it.
func split(uint64) (major, minor uint32) { return 0, 0 }
