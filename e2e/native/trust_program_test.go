//go:build e2e && linux

package native_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// TestTheCommandProgramHasNerdctlsCommands: each command and flag of the pinned nerdctl, as pkg/nerdctl has them from its source, is
// there in the program that is built from its library.
func TestTheCommandProgramHasNerdctlsCommands(t *testing.T) {
	t.Parallel()
	program := filepath.Join(lab.Root(), "libexec", "linnet", "bin", "nerdctl")
	commands := 0
	var walk func(path []string, c *nerdctl.Command)
	walk = func(path []string, c *nerdctl.Command) {
		cmd := exec.CommandContext(t.Context(), program, append(slices.Clone(path), "--help")...)
		cmd.Env = []string{"PATH=/bin", "NERDCTL_TOML=/nonexistent"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", path, err, out)
		}
		commands++
		if last := strings.Join(path, " "); len(path) > 0 && !strings.Contains(string(out), "nerdctl "+last) {
			t.Errorf("%q is not there: %.200s", path, out)
		}
		for _, f := range c.Flags {
			if !f.Hidden && !strings.Contains(string(out), "--"+f.Name) {
				t.Errorf("%q has no --%s", path, f.Name)
			}
		}
		for _, sub := range c.Commands {
			walk(append(slices.Clone(path), sub.Name), sub)
		}
	}
	walk(nil, nerdctl.Root())
	if commands < 100 {
		t.Errorf("only %d commands were looked at", commands)
	}
}
