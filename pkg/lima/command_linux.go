package lima

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// belongs reports whether a process is one of the machine whose directory dir is: this user's, one of
// Lima's programs, with a file of the directory among its arguments. An editor that has such a
// file open may have got the number of one that ended.
func belongs(pid int, dir string) bool {
	program := filepath.Base(host.Program(pid))
	return host.Own(pid) && (strings.Contains(program, "limactl") || strings.Contains(program, "qemu-system-")) &&
		slices.ContainsFunc(host.CommandLine(pid), func(word string) bool { return strings.Contains(word, dir) })
}

// isZombie reports whether a process has ended and only its parent has not collected it yet.
func isZombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the command, which is in parentheses and may itself hold anything.
	return strings.HasPrefix(string(text[max(strings.LastIndexByte(string(text), ')'), 0):]), ") Z")
}
