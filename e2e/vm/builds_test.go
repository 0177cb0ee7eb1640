//go:build e2e && linux

package vm_test

import (
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/builds"
	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/build/options"
)

// TestBuilds: every flag of build, and every project of examples/build, does in the machine
// what it does natively. Directories and files are where no machine sees them.
func TestBuilds(t *testing.T) {
	const host = "host.docker.internal"
	e := ownMachine(t)
	registry := host + ":" + lab.NewRegistry(t).Port
	e.Env = append(e.Env, "LINNET_ENGINE_REGISTRIES_INSECURE="+registry)
	target := builds.Target{Engine: e, Base: e.Busybox(t), Host: host, Registry: registry, Inside: func(t *testing.T, argv ...string) string {
		t.Helper()
		return e.Must(t, append([]string{"vm", "shell", "sudo"}, argv...)...)
	}}
	var flags []string
	for _, f := range options.Flags {
		flags = append(flags, f.Name)
	}
	t.Run("Flags", func(t *testing.T) { builds.Flags(t, target, flags) })
	t.Run("Examples", func(t *testing.T) { builds.Examples(t, target) })
}
