//go:build unix

package native

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// blocks is what a file takes up, in bytes: a stat block is 512 of them (stat(2)).
func blocks(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// freeSpace is what an ordinary user can still write on a path's file system, in bytes.
func freeSpace(path string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true //nolint:gosec,unconvert // Bsize's type differs by system
}
