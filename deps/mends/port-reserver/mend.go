//go:build mend

package ocihook

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// killProcessByPidFile ends the process that holds a container's published ports. Another process that has its
// number by now goes on: the process is held by a descriptor while it is looked at.
func killProcessByPidFile(pidFile string) error {
	data, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data)))
	if err != nil || pid <= 0 {
		return fmt.Errorf("failed to parse pid %q from %q", data, pidFile)
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return fmt.Errorf("failed to find process %d: %w", pid, err)
	}
	defer unix.Close(process)
	if !holdsPorts(filepath.Join("/proc", strconv.Itoa(pid))) {
		return nil
	}
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("failed to kill process %d: %w", pid, err)
	}
	return nil
}

// holdsPorts reports whether a process of /proc is one that applyNetworkSettings starts: a sleep of this user's, in
// this very file system and so in no container, whose first descriptor beside the standard ones is a socket.
func holdsPorts(dir string) bool {
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || string(line) != "sleep\x00infinity\x00" {
		return false
	}
	var owner, socket unix.Stat_t
	if unix.Stat(dir, &owner) != nil || int(owner.Uid) != os.Geteuid() ||
		unix.Stat(filepath.Join(dir, "fd", "3"), &socket) != nil || socket.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	its, err := os.Stat(filepath.Join(dir, "root"))
	if err != nil {
		return false
	}
	ours, err := os.Stat("/")
	return err == nil && os.SameFile(its, ours)
}
