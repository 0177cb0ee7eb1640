//go:build !linux

package host

import (
	"fmt"
	"os"
)

// StagePrefix begins the name of a staged folder of this process.
func StagePrefix() string { return fmt.Sprintf("%d--", os.Getpid()) }
