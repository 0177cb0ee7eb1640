//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
)

// clean removes everything an engine keeps or has left, whatever state it is in. The agent
// must not run. Only what carries this home's paths or identity is touched.
func clean(spec agent.Spec, log logrus.FieldLogger) error {
	l := spec.Layout
	lock, err := host.TryLock(l.AgentLock())
	if err != nil {
		return fmt.Errorf("cleaning up: the agent still runs: %w", err)
	}
	defer lock.Close()
	var errs []error
	for _, argv := range [][]string{
		{l.Bin(buildkitd), "--config", l.Config("buildkitd.toml")},
		{l.Bin(containerd), "--config", l.Config("containerd.toml")},
		{l.Bin(containerd), "--config", l.Config("containerd-drain.toml")},
	} {
		if pid, ok := findProcess(argv); ok {
			errs = append(errs, endProcess(pid, 10*time.Second))
		}
	}
	errs = append(errs, endLeftovers(l))
	for _, name := range (networks{layout: l, log: log}).interfaces() {
		errs = append(errs, removeInterface(name))
	}
	for _, dir := range []string{l.Volatile(), l.Engine()} {
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, fmt.Errorf("removing %s: %w", dir, err))
		}
	}
	removeCgroups(l)
	// The home itself goes only when nothing of the user's is in it.
	_ = os.Remove(l.Home)
	return errors.Join(errs...)
}

// bundlePIDs lists the first processes of the containers whose bundles lie in our state
// folder; a container outlives its shim when that is killed.
func bundlePIDs(l host.Layout) []int {
	files, _ := filepath.Glob(filepath.Join(l.ContainerdState(), "io.containerd.runtime.v2.task", "*", "*", "init.pid"))
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && inContainerOf(pid, filepath.Base(filepath.Dir(file))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// inContainerOf makes sure that a process id still means the container it was noted for:
// its control group is named after the container.
func inContainerOf(pid int, id string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(text), id)
}

func removeCgroups(l host.Layout) {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		_ = os.Remove(filepath.Join(root, "linnet-"+l.ID())) // absent, or not empty yet
	}
}
