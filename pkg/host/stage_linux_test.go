package host_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

func TestAStagedDirectoryIsItsProcesssOwn(t *testing.T) {
	if !host.StageOwnerAlive(host.StagePrefix() + "123") {
		t.Error("this process does not count as alive")
	}
	for _, name := range []string{"", "x", "12", fmt.Sprintf("%d-1-7", os.Getpid()), fmt.Sprintf("%d--7", os.Getpid()), "4194305--7", "4194305-12-7", "-1-2-3"} {
		if host.StageOwnerAlive(name) {
			t.Errorf("%q has a living owner", name)
		}
	}
}

func TestStartTime(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	before := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := host.StartTime(cmd.Process.Pid)
	// The boot time is kept in whole seconds.
	if started.Before(before.Add(-2*time.Second)) || started.After(time.Now().Add(2*time.Second)) {
		t.Errorf("started at %v, not about %v", started, before)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if got := host.StartTime(cmd.Process.Pid); !got.IsZero() {
		t.Errorf("one that is gone started at %v", got)
	}
}
