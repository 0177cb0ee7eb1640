package lima

import (
	"fmt"
	"os"
	"strings"
)

// belongs says whether a process is one of the machine whose folder dir is: each of them has a
// file of it among its arguments.
func belongs(pid int, dir string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(text), dir)
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
