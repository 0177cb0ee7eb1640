package hosttest_test

import (
	"os"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

func TestThePathsOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/files.md")
	if err != nil {
		t.Fatal(err)
	}
	paths := hosttest.Paths(string(text), "0123abcd")
	for _, want := range []string{
		"linnet.yaml", "build/imported", "native/log/containerd.log", "native/run/containerd.sock.ttrpc", "native/linnet-emulation.1",
		"lima/_disks/default", "vm/default/run/relay.sock", "/run/linnet/0123abcd", "/run/linnet/0123abcd/stage",
		"/run/containerd/runc/default/0123", "/var/lib/cni/results",
	} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not among %q", want, paths)
		}
	}
	for _, other := range []string{"linnet-0123abcd", "CNI-FORWARD", "libexec/linnet/bin", "/proc/sys/fs/binfmt_misc"} {
		if slices.Contains(paths, other) {
			t.Errorf("%s is no path that linnet makes", other)
		}
	}
}
