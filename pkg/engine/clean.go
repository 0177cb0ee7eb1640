//go:build linux

package engine

import (
	"context"
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
func clean(ctx context.Context, spec agent.Spec, env []string, log logrus.FieldLogger) error {
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
	errs = append(errs, endLeftovers(ctx, l, env))
	// What is still mounted is a user's: nothing is removed then, not even what is beside it.
	if err := checkMounts(l, "removing what the engine keeps", l.Volatile(), l.Engine(), l.BuildTokens(), l.Compose()); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, dropVolatile(l))
	for _, name := range (networks{layout: l, log: log}).interfaces() {
		errs = append(errs, removeInterface(name))
	}
	if left, err := newTraces(l); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, left.remove(ctx, env))
	}
	errs = append(errs, host.RemoveTree(l.Engine()), host.ForgetBuilds(l))
	removeCgroups(l)
	_ = os.Remove(filepath.Dir(l.Volatile())) // another home may have a folder there
	// The home itself goes only when nothing of the user's is in it.
	_ = os.Remove(l.Home)
	return errors.Join(errs...)
}

// bundles lists the folders of the containers that have a task: .../<namespace>/<id>.
func bundles(l host.Layout) []string {
	found, _ := filepath.Glob(filepath.Join(l.ContainerdState(), "io.containerd.runtime.v2.task", "*", "*")) // the pattern is fine
	return found
}

// bundlePIDs lists the first processes of the containers whose bundles lie in our state
// folder; a container outlives its shim when that is killed.
func bundlePIDs(l host.Layout) []int {
	var pids []int
	for _, bundle := range bundles(l) {
		file := filepath.Join(bundle, "init.pid")
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && inContainerOf(pid, filepath.Base(bundle)) {
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

// cgroups are the control groups of the engine's processes, in the hierarchies that a login
// session has one of its own in.
func cgroups(l host.Layout) []string {
	var groups []string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil {
			groups = append(groups, filepath.Join(root, "linnet-"+l.ID()))
		}
	}
	return groups
}

func removeCgroups(l host.Layout) {
	for _, group := range cgroups(l) {
		_ = os.Remove(group) // absent, or not empty yet
	}
}
