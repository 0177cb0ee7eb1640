package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory for nothing but what is in it: that takes no right to list it.
const searchOnly = unix.O_SEARCH

// Mount is something that is mounted.
type Mount struct {
	// Point is where.
	Point string
	// Type is the file system's, as in apfs, and Source what it was mounted from.
	Type, Source string
	// Device and Root are empty: macOS has no bind mounts.
	Device, Root string
}

// Mounts lists what is mounted (getfsstat(2)).
func Mounts() ([]Mount, error) {
	n, err := unix.Getfsstat(nil, unix.MNT_NOWAIT)
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	stats := make([]unix.Statfs_t, n+16) // some may come meanwhile
	if n, err = unix.Getfsstat(stats, unix.MNT_NOWAIT); err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	mounts := make([]Mount, 0, n)
	for _, s := range stats[:n] {
		mounts = append(mounts, Mount{
			Point: unix.ByteSliceToString(s.Mntonname[:]), Type: unix.ByteSliceToString(s.Fstypename[:]),
			Source: unix.ByteSliceToString(s.Mntfromname[:]),
		})
	}
	return mounts, nil
}

// sameMount reports whether two open files are in one mount. macOS has no bind mounts: every mount has
// a device of its own.
func sameMount(a, b int) (bool, error) {
	var first, second unix.Stat_t
	if err := unix.Fstat(a, &first); err != nil {
		return false, err
	}
	err := unix.Fstat(b, &second)
	return first.Dev == second.Dev, err
}
