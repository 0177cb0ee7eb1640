//go:build e2e && linux

package native_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/builds"
	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/build/options"
)

// Every flag that docker's or nerdctl's build has does here what it does there.
func TestBuildFlags(t *testing.T) {
	t.Parallel()
	var names []string
	for _, f := range options.Flags {
		names = append(names, f.Name)
	}
	builds.Flags(t, buildTarget(t), names)
}

// buildTarget is the engine on this host as the cases of builds know it.
func buildTarget(t *testing.T) builds.Target {
	t.Helper()
	e := lab.Shared(t)
	return builds.Target{Engine: e, Base: e.Busybox(t), Host: "127.0.0.1", Registry: pushTarget(t), Inside: func(t *testing.T, argv ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).Output()
		if err != nil {
			t.Fatalf("%q: %v", argv, err)
		}
		return strings.TrimSuffix(string(out), "\n")
	}}
}

// pushTarget is a registry that takes everything, on an address that needs no TLS.
func pushTarget(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + lab.NewRegistry(t).Port
}

func state(text, step string) string { return builds.StepState(text, step) }

func sshAgent(t *testing.T) string {
	t.Helper()
	return builds.SSHAgent(t)
}
