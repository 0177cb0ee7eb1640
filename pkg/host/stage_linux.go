package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// StagePrefix begins the name of a staged folder of this process, so that the agent can
// tell whose it was after the process was killed.
func StagePrefix() string {
	pid := os.Getpid()
	return fmt.Sprintf("%d-%s-", pid, startTicks(pid))
}

// StageOwnerAlive says whether the process that made a staged folder of that name lives.
func StageOwnerAlive(name string) bool {
	parts := strings.SplitN(name, "-", 3)
	pid, err := strconv.Atoi(parts[0])
	return err == nil && len(parts) == 3 && startTicks(pid) == parts[1]
}

// startTicks is a process's start time in clock ticks since boot, field 22 of
// /proc/PID/stat (proc(5)); empty when there is none.
func startTicks(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the command in parentheses and may itself hold anything.
	_, rest, ok := strings.Cut(string(text[max(strings.LastIndexByte(string(text), ')'), 0):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return ""
	}
	return fields[19]
}
