//go:build !linux

package host

import (
	"fmt"
	"os"
)

// StagePrefix begins the name of a staged directory of this process.
func StagePrefix() string { return ProcessName(os.Getpid()) + "-" }

// ProcessName names a process.
func ProcessName(pid int) string { return fmt.Sprintf("%d-", pid) }
