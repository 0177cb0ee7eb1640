//go:build !linux

package lima

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// commandLine is a process's program and arguments, empty when there is no such process.
func commandLine(pid int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) //nolint:forbidigo // it looks, and ends
	defer cancel()
	var out bytes.Buffer
	_, err := host.Run(ctx, host.Command{Argv: []string{"ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)}, Stdout: &out})
	if err != nil {
		return ""
	}
	return out.String()
}

// ended says that a process has ended and only its parent has not collected it yet. Here init
// does so at once, and nobody else is the parent of what we look at.
func ended(int) bool { return false }
