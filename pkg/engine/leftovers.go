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
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// endLeftovers ends what containerd could not: containers that still run, as runc does it,
// hooks and so networks and published ports included; shims that outlived their containers;
// and what they had mounted. Nothing of a stopped engine runs or is busy then.
func endLeftovers(ctx context.Context, l host.Layout, env []string) error {
	var errs []error
	found, ids := append(bundles(l), strayRuncStates(l)...), noted(l)
	if len(found) > 0 {
		remove, err := leaveDeadSocket(socketOf(l, guest.Containerd))
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
	errs = append(errs, endAll(slices.Concat(bundleProcesses(l), shims(l), helpers(l)), 2*time.Second)...)
	errs = append(errs, removeStrayLinks(l), forget(ids))
	return errors.Join(append(errs, unmountOwn(l))...)
}

// leaveDeadSocket leaves a dead socket at path, if nothing is there: nerdctl's hooks look whether
// containerd's is, although what takes down a network has no need of it.
func leaveDeadSocket(path string) (remove func(), err error) {
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

// deleteContainer lets runc kill and forget the container of a bundle.
func deleteContainer(ctx context.Context, l host.Layout, env []string, bundle string) error {
	namespace, id := filepath.Base(filepath.Dir(bundle)), filepath.Base(bundle)
	root := runcState(l, namespace)
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
	if _, gone := os.Stat(filepath.Join(root, id)); err != nil && errors.Is(gone, os.ErrNotExist) {
		return nil // its hooks have nothing to undo, when they were killed in the middle of it: removeUnowned does the rest
	}
	if err != nil {
		return fmt.Errorf("ending container %s: %w", short(id), err)
	}
	return nil
}

// sweepStages removes the staged directories of clients that are gone: each is named
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
