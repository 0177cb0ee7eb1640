package localdir

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attributes reads the extended attributes of a file in an open directory. Before Linux 6.13, which has listxattrat(2),
// the kernel takes a path for that: one that begins with the descriptor. A link at its end is not followed.
func attributes(dir *os.File, _ *os.Root, name string) (map[string][]byte, error) {
	path := func() string { return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + name }
	return readAttributes(
		func(to []byte) (int, error) {
			if n, err := listxattrat(int(dir.Fd()), name, to); err != unix.ENOSYS { //nolint:errorlint // a bare number
				return n, err
			}
			return unix.Llistxattr(path(), to)
		},
		func(key string, to []byte) (int, error) { return unix.Lgetxattr(path(), key, to) },
	)
}

// noListxattrat says that the kernel has no such call, or that none is allowed.
var noListxattrat atomic.Bool

func listxattrat(dir int, name string, to []byte) (int, error) {
	if noListxattrat.Load() {
		return 0, unix.ENOSYS
	}
	at, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(dir), uintptr(unsafe.Pointer(at)), unix.AT_SYMLINK_NOFOLLOW,
		uintptr(unsafe.Pointer(unsafe.SliceData(to))), uintptr(len(to)), 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.ENOSYS, unix.EPERM:
		noListxattrat.Store(true)
		return 0, unix.ENOSYS
	}
	return 0, errno
}

func splitNames(names string) []string {
	return strings.Split(strings.TrimSuffix(names, "\x00"), "\x00")
}

// openBeneath opens a file below an open directory, where no link is on the way. Errors that wrap errors.ErrUnsupported
// say that this system cannot.
func openBeneath(dir *os.File, path string) (*os.File, error) {
	fd, err := unix.Openat2(int(dir.Fd()), path, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), path), nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return nil, errors.ErrUnsupported
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}
