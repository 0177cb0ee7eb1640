//go:build !linux

package lima

import (
	"strings"

	"golang.org/x/sys/unix"
)

// belongs reports whether a process is one of the machine whose directory dir is. The kernel tells
// its program's name at once; for its arguments a process would have to be asked.
func belongs(pid int, _ string) bool {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return false
	}
	name := unix.ByteSliceToString(info.Proc.P_comm[:])
	return strings.HasPrefix(name, "lima") || strings.HasPrefix(name, "qemu-system-")
}

// isZombie reports whether a process has ended and only its parent has not collected it yet. Here init
// does so at once, and no other process is the parent of what we look at.
func isZombie(int) bool { return false }
