//go:build !unix

package streams

import "os"

// resizeSignals is empty where the system does not tell.
var resizeSignals []os.Signal
