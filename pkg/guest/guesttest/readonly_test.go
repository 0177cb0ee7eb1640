package guesttest_test

import (
	"os"
	"testing"
)

// chmodReadOnly keeps everybody but root from writing to dir.
func chmodReadOnly(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	return dir
}
