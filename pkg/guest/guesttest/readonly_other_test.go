//go:build !linux

package guesttest_test

import (
	"os"
	"testing"
)

// readOnlyDir is there only for an ordinary user: nothing can be mounted here.
func readOnlyDir(t *testing.T) string {
	t.Helper()
	if os.Getuid() == 0 {
		return ""
	}
	return chmodReadOnly(t, t.TempDir())
}
