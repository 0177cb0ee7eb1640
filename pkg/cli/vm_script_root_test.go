//go:build e2e

package cli

import (
	"os"
	"testing"
)

// TestVMScriptsOfRoot runs testdata/vm-root: what only root meets, or can prepare. make test-unit runs it.
func TestVMScriptsOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can be root, and mount")
	}
	runVMScripts(t, "testdata/vm-root")
}
