//go:build unix

package localdir

import (
	"io/fs"
	"os"

	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host"
)

// statAt says of a file in an open directory what is sent of it, but for its extended attributes. A further
// name of a file in links, which are by inode, is sent as a link to the first.
func statAt(dir *os.File, name, path string, links map[uint64]string) (*fstypes.Stat, error) {
	var s unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	mode := modeOf(uint32(s.Mode)) //nolint:unconvert // of another type on macOS
	stat := &fstypes.Stat{Path: path, Mode: uint32(mode &^ fs.ModeSocket), ModTime: s.Mtim.Nano(), Uid: s.Uid, Gid: s.Gid}
	if mode&fs.ModeDevice != 0 {
		device := uint64(s.Rdev) //nolint:unconvert // of another type on macOS
		stat.Devmajor, stat.Devminor = int64(unix.Major(device)), int64(unix.Minor(device))
	}
	if mode.IsDir() {
		return stat, nil
	}
	stat.Size = s.Size
	if s.Nlink < 2 {
		return stat, nil
	}
	if first, ok := links[s.Ino]; ok {
		stat.Linkname = first
	} else {
		links[s.Ino] = path
	}
	return stat, nil
}

// modeOf is a mode of the system's as Go has it, which is how it is sent.
func modeOf(system uint32) fs.FileMode {
	mode := fs.FileMode(system & 0o777)
	for bit, is := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if system&bit != 0 {
			mode |= is
		}
	}
	switch system & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	return mode
}

// readAttributes reads extended attributes with calls that differ in how the file is named.
func readAttributes(list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string][]byte, error) {
	var buffer [256]byte
	names, err := grown(buffer[:], list)
	if err == unix.ENOTSUP || len(names) == 0 && err == nil { //nolint:errorlint // a bare number
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, name := range splitNames(string(names)) {
		value, err := grown(make([]byte, 256), func(to []byte) (int, error) { return get(name, to) })
		if err == nil { // else it has gone away, or is another's
			all[name] = value
		}
	}
	return all, nil
}

// grown calls read with a buffer that is large enough.
func grown(buffer []byte, read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(buffer)
		if err != unix.ERANGE { //nolint:errorlint // a bare number
			return buffer[:max(n, 0)], err
		}
		buffer = make([]byte, 4*len(buffer))
	}
}

// isPrivate reports whether only this user and root can change what is in a directory.
func isPrivate(root *os.Root, dir string) bool {
	info, err := root.Stat(dir)
	return err == nil && !host.OthersMayWrite(info)
}
