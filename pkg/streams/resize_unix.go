//go:build unix

package streams

import (
	"os"
	"syscall"
)

// resizeSignals tell that the terminal changed its size.
var resizeSignals = []os.Signal{syscall.SIGWINCH}
