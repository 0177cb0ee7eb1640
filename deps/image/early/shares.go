//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountShares mounts the shared directories of the host, and makes the directories on which Lima will mount those that
// it shares over ssh.
func mountShares(m *modules, c *cidata) error {
	var errs []error
	for _, s := range c.shares {
		errs = append(errs, mountShare(m, s))
	}
	if c.env["MOUNTTYPE"] == "reverse-sshfs" {
		count, _ := strconv.Atoi(c.env["MOUNTS"])
		for i := range count {
			errs = append(errs, makeMountPoint(c.env[fmt.Sprintf("MOUNTS_%d_MOUNTPOINT", i)], c.uid()))
		}
	}
	return errors.Join(errs...)
}

func mountShare(m *modules, s share) error {
	if mounted(s.dir) {
		return nil
	}
	if s.kind == "9p" {
		if err := m.load("9pnet_virtio", "9p"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("making the mount point of a shared directory: %w", err)
	}
	flags, data := mountOptions(s.options)
	if err := unix.Mount(s.tag, s.dir, s.kind, flags, data); err != nil {
		return fmt.Errorf("mounting the shared directory %s (%s, %s): %w", s.dir, s.kind, s.options, err)
	}
	return nil
}

// hide covers directories of the host that are shared with all that is around them, and that nothing here is to see:
// with a file system that is empty and read-only. It stays that of the machine's root, who could take it away.
func hide(c *cidata) error {
	source, ok := c.dataFiles()[hiddenFile]
	if !ok {
		return nil
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("reading cidata: %w", err)
	}
	for dir := range strings.Lines(string(text)) {
		dir = strings.TrimSuffix(dir, "\n")
		if mounted(dir) {
			continue
		}
		flags := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		if err := unix.Mount("linnet-hidden", dir, "tmpfs", flags, "mode=0555,size=4k,nr_inodes=2"); err != nil {
			return fmt.Errorf("hiding %s: %w", dir, err)
		}
	}
	return nil
}

// mountOptions tells what mount(2) takes as flags, what the file system takes, and what is for fstab's
// readers alone.
func mountOptions(options string) (flags uintptr, data string) {
	var rest []string
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "rw", "defaults", "nofail", "":
		case "ro":
			flags |= unix.MS_RDONLY
		default:
			rest = append(rest, option)
		}
	}
	return flags, strings.Join(rest, ",")
}

// makeMountPoint makes a directory that belongs to the user: fusermount mounts on no other.
func makeMountPoint(dir string, uid int) error {
	if mounted(dir) || !filepath.IsAbs(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the mount point of a shared directory: %w", err)
	}
	return os.Chown(dir, uid, uid)
}
