package guesttest_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// readOnlyDir is a directory that not even root can write to, if we may mount; if we are
// not root, its mode is enough. Otherwise there is none.
func readOnlyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		return chmodReadOnly(t, dir)
	}
	if err := unix.Mount("guesttest", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Logf("without a read-only directory: mounting: %v", err)
		return ""
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}
