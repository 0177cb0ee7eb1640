//go:build !linux

package host

import "os"

// memoryFile is an empty file without a name. Where containers do not run, only tests ask for one, and it may be on a disk.
func memoryFile() (*os.File, error) {
	f, err := os.CreateTemp("", "linnet-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
