//go:build unix

package gather

import (
	"context"
	"io/fs"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// owner is the number of the user whom a file belongs to, -1 when unknown.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// mayWrite reports whether this user may write to a file or a directory that is there.
func mayWrite(path string) bool { return unix.Access(path, unix.W_OK) == nil }

// fileID is a file by its device and number.
func fileID(path string) (file, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return file{}, false
	}
	major, minor := split(uint64(st.Dev)) //nolint:gosec,unconvert // its type differs by system
	return file{major, minor, st.Ino}, true
}

// dialLimit is how long a local socket may take to accept; one that is full does not.
const dialLimit = 100 * time.Millisecond

// dial connects to a local socket, of any user: nothing is said on it.
func dial(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "unix", path)
}
