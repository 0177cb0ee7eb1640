//go:build linux

package engine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

func TestMountsBelow(t *testing.T) {
	const info = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 22 0:30 / /run/linnet/1/containerd rw - tmpfs tmpfs rw
41 22 0:31 / /run/linnet/1/containerd/a/rootfs rw,relatime - overlay overlay rw,lowerdir=/run/linnet/1/containerd/x
42 22 0:32 / /run/linnet/1/containerd/a\040b\011c\134040 rw - overlay overlay rw
43 22 0:33 / /run/linnet/1/containerd-other/rootfs rw - overlay overlay rw
44 41 0:34 / /run/linnet/1/containerd/a/rootfs/proc rw - proc proc rw
45 22 0:35 / /elsewhere rw - overlay /run/linnet/1/containerd/a rw

torn
`
	want := []string{"/run/linnet/1/containerd/a/rootfs", "/run/linnet/1/containerd/a b\tc\\040", "/run/linnet/1/containerd/a/rootfs/proc"}
	if got := mountsBelow(info, "/run/linnet/1/containerd"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSweepStagesRemovesWhatTheDeadLeft(t *testing.T) {
	dir := t.TempDir()
	ours := host.StagePrefix() + "1"
	for _, name := range []string{ours, "4194305-99-1", "odd"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "below"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweepStages(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != ours {
		t.Errorf("left: %v (%v)", entries, err)
	}
	if err := sweepStages(filepath.Join(dir, "absent")); err != nil {
		t.Errorf("no folder: %v", err)
	}
}

// A process id that now means somebody else's process is not a container's.
func TestBundlesOfProcessesThatAreGone(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	if got := bundleProcesses(l); got != nil {
		t.Errorf("no bundles: %v", got)
	}
	if inContainerOf(os.Getpid(), "0123456789abcdef0123456789abcdef") || inContainerOf(1<<22+1, "x") {
		t.Error("this process counts as a container's")
	}
}
