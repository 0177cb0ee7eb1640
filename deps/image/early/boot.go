//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	rootLabel = "linnet-root"
	newRoot   = "/root"
	// rootLink names the root's disk for setUp, which must not take it for a data disk.
	rootLink = "/dev/linnet-root"
)

var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}

// boot is the initrd: from the kernel to systemd. It returns only if that fails, and then the kernel panics.
func boot(ctx context.Context) error {
	for _, m := range []struct {
		kind, dir string
		flags     uintptr
		data      string
	}{
		{"proc", "/proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=755"},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755,size=20%,nr_inodes=800k"},
	} {
		if err := unix.Mount(m.kind, m.dir, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.dir, err)
		}
	}
	if err := mountRoot(ctx); err != nil {
		return err
	}
	if err := switchRoot(); err != nil {
		return err
	}
	if err := hideSystemd("/run/systemd"); err != nil {
		return err
	}
	log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("opening the kernel's log: %w", err)
	}
	//nolint:forbidigo // process 1 has to start one process and become another; it runs in the guest alone
	_, err = os.StartProcess("/usr/libexec/linnet/bin/linnet-early", []string{"linnet-early"},
		&os.ProcAttr{Dir: "/", Env: environment, Files: []*os.File{nil, log, log}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return fmt.Errorf("starting the set-up: %w", err)
	}
	return fmt.Errorf("becoming systemd: %w", syscall.Exec("/sbin/init", []string{"/sbin/init"}, environment)) //nolint:forbidigo // as above
}

// hideSystemd makes the directory by which programs see that systemd runs a link to one. nerdctl looks at the link itself
// and so asks systemd for nothing; everybody else looks behind it. With systemd, and without a message bus, nerdctl
// refuses to start a container that has a health check; with a bus it takes three seconds to stop one. The agent runs
// health checks.
func hideSystemd(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, ".system"), 0o755); err != nil {
		return fmt.Errorf("making systemd's directory: %w", err)
	}
	if err := os.Symlink(".system", filepath.Join(dir, "system")); err != nil {
		return fmt.Errorf("making systemd's directory: %w", err)
	}
	return nil
}

// mountRoot loads the drivers and mounts the root as soon as its disk is there. Meanwhile it loads what takes
// time to come: randomness, and cidata's disk.
func mountRoot(ctx context.Context) error {
	modules, err := readModules("/usr/lib/modules")
	if err != nil {
		return err
	}
	var drivers work
	drivers.start("the root's disk", func() error { return modules.load("virtio_pci", "virtio_mmio", "virtio_blk") })
	drivers.start("the root's file system", func() error { return modules.load("crc32c_generic", "crc32c_intel", "crc32_arm64", "ext4") })
	go func() { _ = modules.load("virtio_rng", "virtio_scsi", "sr_mod") }()
	if err := drivers.wait(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		devices, err := filepath.Glob("/sys/block/[vs]d*")
		if err != nil {
			return err
		}
		for _, d := range devices {
			device := "/dev/" + filepath.Base(d)
			if sb, err := readExt4(device); err != nil || sb.label != rootLabel {
				continue
			}
			if err := unix.Mount(device, newRoot, "ext4", unix.MS_NOATIME, ""); err != nil {
				return fmt.Errorf("mounting the root %s: %w", device, err)
			}
			return errors.Join(readFar(device), os.Symlink(strings.TrimPrefix(device, "/dev/"), rootLink))
		}
		select {
		case <-ctx.Done():
			return errors.New("finding the root: no disk is labelled " + rootLabel)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// readFar makes the kernel read ahead by the megabyte: programs of 30 to 60 MB are the most that is read here, and a
// request costs an emulated machine more than what it brings.
func readFar(device string) error {
	err := os.WriteFile("/sys/block/"+filepath.Base(device)+"/queue/read_ahead_kb", []byte("1024"), 0)
	if err != nil {
		return fmt.Errorf("setting how far ahead %s is read: %w", device, err)
	}
	return nil
}

// switchRoot makes the mounted root the root, and gives back the initrd's memory.
func switchRoot() error {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s: %w", dir, err)
		}
	}
	if err := errors.Join(os.RemoveAll("/usr"), os.Remove("/init")); err != nil {
		return fmt.Errorf("emptying the initrd: %w", err)
	}
	if err := os.Chdir(newRoot); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	return os.Chdir("/")
}
