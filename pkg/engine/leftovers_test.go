//go:build linux

package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

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
		t.Errorf("no directory: %v", err)
	}
}

// A process id that now means another process is not a container's.
func TestBundlesOfProcessesThatAreGone(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	if got := bundleProcesses(l); got != nil {
		t.Errorf("no bundles: %v", got)
	}
	if inContainerOf(os.Getpid(), "0123456789abcdef0123456789abcdef") || inContainerOf(1<<22+1, "x") {
		t.Error("this process counts as a container's")
	}
}
