package localdir

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes reads the extended attributes of a file in an open directory, but for Apple's own. What cannot be
// opened, such as a link or a socket, has none that are sent.
func attributes(_ *os.File, root *os.Root, name string) (map[string][]byte, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, nil
	}
	defer file.Close()
	fd := int(file.Fd())
	return readAttributes(
		func(to []byte) (int, error) { return unix.Flistxattr(fd, to) },
		func(key string, to []byte) (int, error) { return unix.Fgetxattr(fd, key, to) },
	)
}

func splitNames(names string) []string {
	return slices.DeleteFunc(strings.Split(names, "\x00"), func(name string) bool {
		return name == "" || strings.HasPrefix(name, "com.apple.")
	})
}

// openBeneath opens a file below an open directory, where no link is on the way.
func openBeneath(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }
