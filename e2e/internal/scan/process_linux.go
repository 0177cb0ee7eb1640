//go:build e2e

package scan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Running returns the processes that hold the marker on their command line right now, and
// files without a name that one of them has open and that hold it.
func Running(m Marker) ([]Hit, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var hits []Hit
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		argv := cmdline(pid)
		if form := m.In([]byte(strings.Join(argv, "\x00"))); form != "" {
			hits = append(hits, Hit{fmt.Sprintf("command line of process %d, %.60q", pid, argv), form})
		}
		hits = append(hits, unnamed(pid, m)...)
	}
	return hits, nil
}

// Environments returns the processes that were started with the marker in their environment
// and still run.
func Environments(m Marker) ([]Hit, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var hits []Hit
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			continue // gone
		}
		if form := m.In(text); form != "" {
			hits = append(hits, Hit{fmt.Sprintf("environment of process %d, %.60q", pid, cmdline(pid)), form})
		}
	}
	return hits, nil
}

// unnamed looks into the deleted files and memfds that a process has open.
func unnamed(pid int, m Marker) (hits []Hit) {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // a process that is gone has none
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		// A pipe or a device that was deleted must not be opened: that could wait for ever.
		if info, err := os.Stat(link); err != nil || !info.Mode().IsRegular() {
			continue
		}
		forms, err := findInFile(link, m)
		if err != nil {
			continue // gone, or not readable, as the file of a mount that went away
		}
		for _, form := range forms {
			hits = append(hits, Hit{fmt.Sprintf("%s, open in process %d", target, pid), form})
		}
	}
	return hits
}

func cmdline(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return nil // gone, a zombie, or of the kernel
	}
	return strings.Split(string(bytes.TrimSuffix(text, []byte{0})), "\x00")
}
