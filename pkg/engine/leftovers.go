//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// endLeftovers ends what containerd could not: containers that still run, as runc does it,
// hooks and so networks and published ports included; shims that outlived their containers;
// and what they had mounted. Nothing of a stopped engine runs or is busy then.
func endLeftovers(ctx context.Context, l host.Layout, env []string) error {
	var errs []error
	found := bundles(l)
	if len(found) > 0 {
		remove, err := standIn(l.Socket(containerd))
		if err != nil {
			errs = append(errs, err)
		} else {
			defer remove()
		}
	}
	for _, bundle := range found {
		if err := deleteContainer(ctx, l, env, bundle); err != nil {
			errs = append(errs, err)
		}
	}
	for _, pid := range slices.Concat(bundlePIDs(l), shims(l), helpers(l)) {
		if err := endProcess(pid, 2*time.Second); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, unmountOwn(l))...)
}

// standIn leaves a dead socket at path, if nothing is there: nerdctl's hooks look whether
// containerd's is, although what takes down a network has no need of it.
func standIn(path string) (remove func(), err error) {
	if _, err := os.Lstat(path); err == nil {
		return func() {}, nil
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("ending containers: %w", err)
	}
	listener.SetUnlinkOnClose(false)
	return func() { _ = os.Remove(path) }, listener.Close()
}

// runcRoot is where containerd's shim lets runc keep its state, a folder per namespace.
const runcRoot = "/run/containerd/runc"

// deleteContainer lets runc kill and forget the container of a bundle.
func deleteContainer(ctx context.Context, l host.Layout, env []string, bundle string) error {
	namespace, id := filepath.Base(filepath.Dir(bundle)), filepath.Base(bundle)
	root := filepath.Join(runcRoot, namespace)
	if _, err := os.Stat(filepath.Join(root, id)); err != nil {
		return nil // runc knows it no more: there is nothing to end
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	code, err := host.Run(ctx, host.Command{
		Argv: []string{l.Bin("runc"), "--root", root, "delete", "--force", id}, Env: env, Dir: "/", Stdout: &out, Stderr: &out,
	})
	if err == nil && code != 0 {
		err = errors.New(strings.TrimSpace(out.String()))
	}
	if err != nil {
		return fmt.Errorf("ending container %s: %w", short(id), err)
	}
	return nil
}

// shims lists the processes whose command line names our containerd's socket as theirs.
func shims(l host.Layout) []int {
	want := "\x00-address\x00" + l.Socket(containerd) + "\x00"
	var pids []int
	for pid, cmdline := range commandLines() {
		if strings.Contains(cmdline, "containerd-shim") && strings.Contains(cmdline, want) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// helpers lists what else lives in our control group: what parked a published port, or wrote
// a container's log, and whose container was killed without a word to it.
func helpers(l host.Layout) []int {
	var pids []int
	for _, group := range cgroups(l) {
		text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid != os.Getpid() && pid > 1 && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// sweepStages removes the staged folders of clients that are gone: each is named
// <pid>-<start time of the process>-<number>.
func sweepStages(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if host.StageOwnerAlive(e.Name()) {
			continue
		}
		if err := host.RemoveTree(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
