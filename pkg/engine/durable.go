//go:build linux

package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host"
)

// A machine can end at any moment, its kernel with it. Two things keep what was answered for, and what is
// half done from being taken for whole:
//
//   - containerd's and BuildKit's databases say which snapshots there are, and are synced at each change; the
//     snapshots' directories are not. fdatasync(2) of a file that is written in place does not commit ext4's
//     journal, so the database could be on the disk with the name of a directory that is not. With their data in
//     the journal (orderDatabases) they are committed behind all that was done before.
//   - what is in files of nerdctl and CNI, and in files that a container or a build wrote, is synced when a command ends
//     (settle); a build asks for it with a command that does nothing (guest.Capabilities). The journal orders new blocks
//     only: what a file grew by within its last block could be missing.
//
// Natively the host's file system is the host's: nothing is changed there.

// orderDatabases has the file system journal the data of the databases (ioctl_iflags(2), FS_JOURNAL_DATA_FL), which
// ext4 does for single files where allocation is not delayed (deps/image/early mounts it so).
func orderDatabases(l host.Layout, snapshotter string) error {
	metadata := filepath.Join(l.ContainerdRoot(), "io.containerd.metadata.v1.bolt")
	snapshots := filepath.Join(l.ContainerdRoot(), "io.containerd.snapshotter.v1."+snapshotter, "metadata.db")
	// What is made in a directory of that kind is of that kind; the snapshotter's directory has the snapshots, too, whose
	// data would be written twice: there the file is made before the snapshotter comes, who takes an empty one for new.
	for _, dir := range []string{metadata, l.BuildkitRoot(), filepath.Dir(snapshots)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the databases' directories: %w", err)
		}
	}
	f, err := os.OpenFile(snapshots, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("making the snapshotter's database: %w", err)
	}
	defer f.Close()
	errs := []error{journalData(snapshots), journalData(metadata), journalData(l.BuildkitRoot())}
	for _, dir := range []string{metadata, l.BuildkitRoot()} {
		errs = append(errs, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".db") {
				return err
			}
			return journalData(path)
		}))
	}
	return errors.Join(errs...)
}

// fsJournalData is FS_JOURNAL_DATA_FL of linux/fs.h.
const fsJournalData = 0x4000

// journalData sets the flag of a file or a directory.
func journalData(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&fsJournalData == 0 {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|fsJournalData)
	}
	if err != nil {
		return fmt.Errorf("having the data of %s journalled: %w", path, err)
	}
	return nil
}

// settle brings what a command has changed to the disk before its client hears how it ended. What only looks is not
// made to wait for what others write.
func settle(l host.Layout, argv []string) error {
	if looks(argv) {
		return nil
	}
	dir, err := os.Open(l.Home)
	if err != nil {
		return fmt.Errorf("writing to the disk: %w", err)
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("writing to the disk: %w", err)
	}
	return nil
}

// looks reports whether a command changes nothing that the engine keeps. A process in a container that wants its own
// data on the disk syncs it, as everywhere.
func looks(argv []string) bool {
	if len(argv) < 2 || argv[0] != "nerdctl" {
		return false
	}
	words := argv[1:]
	switch words[0] {
	case "container", "image", "volume", "network", "system", "compose", "namespace", "builder":
		if len(words) > 1 {
			words = words[1:]
		}
	}
	switch words[0] {
	case "attach", "config", "diff", "events", "exec", "history", "images", "info", "inspect", "list", "logs", "ls",
		"port", "ps", "search", "stats", "top", "version", "wait":
		return true
	}
	return false
}
