//go:build linux

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// otherDocker finds a dockerd in this network namespace that is not this home's: two would write each other's rules.
func otherDocker(l host.Layout) (pid int, ok bool) {
	own := 0
	if p, found := findDaemon(argvOf(l, guest.Docker)); found {
		own = p.PID
		p.Close()
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, false
	}
	for _, pid := range host.PIDs() {
		if pid == own || !isDocker(readProc(pid, "exe")) || readProc(pid, "ns/net") != network {
			continue
		}
		return pid, true
	}
	return 0, false
}

// isDocker reports whether a program, as the kernel names it, is a dockerd.
func isDocker(program string) bool {
	return filepath.Base(strings.TrimSuffix(program, " (deleted)")) == guest.Docker.Daemon()
}

// readProc is what a link of a process leads to, or "".
func readProc(pid int, name string) string {
	to, _ := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name)) // gone meanwhile
	return to
}

// refuseOtherDocker is why dockerd cannot run, if another does.
func refuseOtherDocker(l host.Layout) error {
	pid, ok := otherDocker(l)
	if !ok {
		return nil
	}
	return hint.With(fmt.Errorf("starting dockerd: another dockerd runs in this network namespace: %s (process %d)", readProc(pid, "exe"), pid),
		"use that one's socket, or stop it; or set docker.socket to off")
}
