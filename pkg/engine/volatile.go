//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host"
)

// volatileSource is what the memory file system of ensureVolatile is called in a list of mounts.
const volatileSource = "linnet"

// ensureVolatile makes the engine's directory in memory. Where /run is a disk (there are such
// machines), it gets a memory file system of its own: runtime bundles and staged files hold
// what must not be on a disk.
func ensureVolatile(l host.Layout) error {
	dir := l.Volatile()
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("making the engine's directories: %w", err)
	}
	if inMemory(dir) {
		return nil
	}
	if err := unix.Mount(volatileSource, dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711"); err != nil {
		return fmt.Errorf("mounting a memory file system on %s: %w", dir, err)
	}
	return nil
}

func inMemory(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && (st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC)
}

// dropVolatile takes the directory away with all that is in it.
func dropVolatile(l host.Layout) error {
	dir := l.Volatile()
	if err := errors.Join(unmountOwn(l), checkMounts(l, "removing "+dir, dir)); err != nil {
		return err
	}
	if err := unmount(dir); err != nil {
		return err
	}
	return host.RemoveTree(dir)
}

// dropTempMounts unmounts what a containerd that was killed had mounted for a moment. None of ours may run.
func dropTempMounts(l host.Layout) error {
	mounts, err := host.Mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mounts {
		if temp, _ := filepath.Match(tempMounts(l), m.Point); !temp { // the pattern is fine
			continue
		}
		if err := unmount(m.Point); err != nil {
			errs = append(errs, err)
			continue
		}
		_ = os.Remove(m.Point) // empty, or kept
	}
	return errors.Join(errs...)
}
