package lima

import (
	"fmt"
	"os"
	"strings"
)

// commandLine is a process's program and arguments, empty when there is no such process.
func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(text), "\x00", " ")
}

// ended says that a process has ended and only its parent has not collected it yet.
func ended(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the command, which is in parentheses and may itself hold anything.
	return strings.HasPrefix(string(text[max(strings.LastIndexByte(string(text), ')'), 0):]), ") Z")
}
