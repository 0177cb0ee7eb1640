//go:build e2e

package pinned

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestListsHaveWhatIsKnown(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	labels, err := Labels(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nerdctl/mounts", "nerdctl/mounts.0", "nerdctl/pid-file", "com.docker.compose.project", "containerd.io/restart.status"} {
		if !slices.Contains(labels, want) {
			t.Errorf("%s is not among %q", want, labels)
		}
	}
	names, err := Lookups(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NERDCTL_TOML", "CNI_PATH", "DOCKER_CONFIG", "GOMAXPROCS", "IPTABLES_LIB_DIR", "LD_PRELOAD", "NOTIFY_SOCKET", "XTABLES_LIBDIR"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %d names", want, len(names))
		}
	}
	t.Logf("%d labels, %d names", len(labels), len(names))
}
