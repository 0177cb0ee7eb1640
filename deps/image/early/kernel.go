//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// makeNodes makes what udev and tmpfiles would: nodes of drivers that are loaded when they are opened, and the
// directory of temporary files in memory.
func makeNodes() error {
	var errs []error
	for _, node := range []struct {
		path         string
		major, minor uint32
		mode         uint32
	}{
		{"/dev/net/tun", 10, 200, 0o666},
		{"/dev/fuse", 10, 229, 0o666},
		{"/dev/loop-control", 10, 237, 0o660},
	} {
		if err := os.MkdirAll(filepath.Dir(node.path), 0o755); err != nil {
			errs = append(errs, err)
		}
		err := unix.Mknod(node.path, unix.S_IFCHR|node.mode, int(unix.Mkdev(node.major, node.minor)))
		if err != nil && !errors.Is(err, unix.EEXIST) {
			errs = append(errs, fmt.Errorf("making %s: %w", node.path, err))
		}
		errs = append(errs, os.Chmod(node.path, os.FileMode(node.mode)))
	}
	if !mounted("/tmp") {
		if err := unix.Mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=50%,nr_inodes=1m"); err != nil {
			errs = append(errs, fmt.Errorf("mounting /tmp: %w", err))
		}
	}
	return errors.Join(append(errs, os.MkdirAll("/run/lock", 0o1777))...)
}

// prefetch asks the kernel to have the programs of a start in memory when they are run, in that order.
func prefetch(files ...string) {
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			continue // only slower
		}
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_WILLNEED)
		_ = f.Close()
	}
}

// settings sets the kernel's variables, by the files of sysctl.d(5).
func settings(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	errs := []error{err}
	for _, file := range files {
		text, err := os.ReadFile(file)
		errs = append(errs, err)
		for line := range strings.Lines(string(text)) {
			name, value, ok := strings.Cut(line, "=")
			if name = strings.TrimSpace(name); !ok || strings.HasPrefix(name, "#") {
				continue
			}
			path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
			if err := os.WriteFile(path, []byte(strings.TrimSpace(value)), 0); err != nil {
				errs = append(errs, fmt.Errorf("setting %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}
