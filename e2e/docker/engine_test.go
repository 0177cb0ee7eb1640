//go:build e2e && linux

package docker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guest"
)

// daemon is what `engine status` says of a daemon.
func (c *client) daemon(t testing.TB, name string) guest.Daemon {
	t.Helper()
	var s guest.Status
	if err := json.Unmarshal([]byte(c.Must(t, "engine", "status", "--format", "json")), &s); err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Daemons {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no %s in %+v", name, s)
	return guest.Daemon{}
}

// awake is the process of dockerd, which is started where it does not run.
func (c *client) awake(t testing.TB) int {
	t.Helper()
	var pid int
	lab.Eventually(t, "dockerd to run", func() bool {
		if r := c.run(t, nil, "version"); r.Code != 0 {
			return false
		}
		d := c.daemon(t, "dockerd")
		pid = d.PID
		return d.State == "running" && pid > 1
	})
	return pid
}

// kill9 kills a process and waits until it is gone with all its threads: the kernel takes connections to the sockets of a dying one.
func kill9(t testing.TB, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		t.Fatal(err)
	}
	lab.Eventually(t, fmt.Sprintf("process %d to be gone", pid), func() bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		return err == nil && n > 0
	})
}

// process is one that belongs to an engine.
type process struct {
	pid     int
	cmdline string
}

// processes lists what names the engine's home or its volatile directory, and what is in its control group.
func (c *client) processes() (all []process) {
	l := c.layout()
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is fine
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		cmdline := strings.ReplaceAll(string(text), "\x00", " ")
		if strings.Contains(cmdline, c.Home+"/") || strings.Contains(cmdline, l.Volatile()+"/") || strings.Contains(string(groups), "/linnet-"+l.ID()+"\n") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, process{pid, cmdline})
		}
	}
	return all
}

// count is how many processes run a program of a name.
func (c *client) count(program string) (n int) {
	for _, p := range c.processes() {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid)); err == nil && filepath.Base(exe) == program {
			n++
		}
	}
	return n
}
