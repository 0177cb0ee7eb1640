//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
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
	for _, s := range slices.Backward(guest.Services()) {
		errs = append(errs, endDaemon(argvOf(l, s), 10*time.Second))
	}
	errs = append(errs, endDaemon(drainingArgv(l), 10*time.Second), endLeftovers(ctx, l, env))
	// What is still mounted is a user's: nothing is removed then, not even what is beside it.
	if err := checkRemoval(l); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, sweepDocker(ctx, l, env), dropVolatile(l))
	for _, name := range (networks{layout: l, log: log}).interfaces() {
		errs = append(errs, removeInterface(name))
	}
	errs = append(errs, removeUnowned(ctx, l, env, func() []string { return livingContainers(l) }, true))
	errs = append(errs, host.RemoveTree(l.Engine()), host.ForgetBuilds(l), removeFile(l.DockerSocket()))
	removeCgroups(l)
	_ = os.Remove(filepath.Dir(l.Volatile())) // another home may have a directory there
	// The home itself goes only when nothing of the user's is in it.
	host.ForgetHome(l)
	return errors.Join(errs...)
}

// checkRemoval fails when a user has mounted something where clean removes.
func checkRemoval(l host.Layout) error {
	return checkMounts(l, "removing what the engine keeps", l.Volatile(), l.Engine(), l.BuildTokens(), l.Compose(), l.DockerSocket())
}

// bundlesDir is where containerd's runtime has them below its state directory.
const bundlesDir = "io.containerd.runtime.v2.task"

// bundles lists the directories of the containers that have a task: .../<namespace>/<id>.
func bundles(l host.Layout) []string {
	found, _ := filepath.Glob(filepath.Join(l.ContainerdState(), bundlesDir, "*", "*")) // the pattern is fine
	return found
}

// bundleProcesses holds the first processes of the containers whose bundles lie in our state
// directory; a container outlives its shim when that is killed.
func bundleProcesses(l host.Layout) (held []host.Process) {
	for _, bundle := range bundles(l) {
		if p, ok := bundleProcess(bundle); ok {
			held = append(held, p)
		}
	}
	return held
}

// bundleProcess holds the first process of a bundle's container, if that lives.
func bundleProcess(bundle string) (host.Process, bool) {
	text, err := os.ReadFile(filepath.Join(bundle, "init.pid"))
	if err != nil {
		return host.Process{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return host.Process{}, false
	}
	return host.HoldProcess(pid, func(pid int) bool { return inContainerOf(pid, filepath.Base(bundle)) })
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

// groupMembers lists the processes in our control group.
func groupMembers(l host.Layout) (pids []int) {
	for _, group := range cgroups(l) {
		pids = append(pids, groupPIDs(group)...)
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// groupPIDs lists the processes in a control group.
func groupPIDs(group string) (pids []int) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func removeCgroups(l host.Layout) {
	for _, group := range cgroups(l) {
		_ = os.Remove(group) // absent, or not empty yet
	}
}
