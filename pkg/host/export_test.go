//go:build unix

package host

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RemoveUnlisted is RemoveTree for what is mounted after the list of mounts was read.
func RemoveUnlisted(path string) error {
	parent, err := openParent(path)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return removal{top: path}.remove(parent, filepath.Base(path), path)
}
