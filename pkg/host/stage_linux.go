package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// StagePrefix begins the name of a staged directory of this process, so that the agent can
// tell whose it was after the process was killed.
func StagePrefix() string { return ProcessName(os.Getpid()) + "-" }

// ProcessName names a process as no other one is ever named until the machine restarts:
// <pid>-<start time>; the start time is empty when there is no such process.
func ProcessName(pid int) string { return fmt.Sprintf("%d-%s", pid, startTicks(pid)) }

// StageOwnerAlive reports whether the process that made a staged directory of that name lives.
func StageOwnerAlive(name string) bool {
	parts := strings.SplitN(name, "-", 3)
	pid, err := strconv.Atoi(parts[0])
	return err == nil && len(parts) == 3 && parts[1] != "" && startTicks(pid) == parts[1]
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

// StartTime is when a process started, to a hundredth of a second; the zero time when there
// is no such process.
func StartTime(pid int) time.Time {
	ticks, err := strconv.ParseInt(startTicks(pid), 10, 64)
	if err != nil {
		return time.Time{}
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}
	}
	_, rest, _ := strings.Cut(string(text), "\nbtime ")
	line, _, _ := strings.Cut(rest, "\n")
	boot, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		return time.Time{}
	}
	// What proc(5) shows is in units of USER_HZ, which is 100 wherever Go runs.
	return time.Unix(boot, 0).Add(time.Duration(ticks) * 10 * time.Millisecond)
}
