package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile is an empty file in memory, without a name (memfd_create(2)).
func memoryFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("linnet", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "linnet"), nil
}
