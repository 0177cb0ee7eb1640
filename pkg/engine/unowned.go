//go:build linux

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/linnet-dev/linnet/pkg/host"
)

// Where those keep notes that serve every engine of this machine, not ours alone.
const (
	cniResults  = "/var/lib/cni/results"  // CNI's library: what it gave to each container
	nerdctlRun  = "/run/nerdctl"          // nerdctl: what holds each container's ports
	runtimeFIFO = "/run/containerd/fifo"  // containerd's libraries: the pipes of each container's streams
	runcRoot    = "/run/containerd/runc"  // containerd's shim has runc keep its state there, a directory per namespace
	hookLock    = ".cni-concurrency.lock" // nerdctl's hooks hold it while they change networks
	hookLimit   = 20 * time.Second        // bounds how long they may
)

// A lease is an address of one of this home's networks that was given to a container.
type lease struct {
	file, network string
	address       netip.Addr
	// container is its CNI name, <namespace>-<id>; empty where host-local was killed over it.
	container string
}

// A cniResult is what CNI's library noted of a container on a network of this home.
type cniResult struct{ file, network, container string }

// removeUnowned removes what is left outside of this home of containers that do not run: rules,
// leases, notes, pipes, and what holds published ports. Each goes by itself when its container's
// hooks have run; who is killed runs none. owned are the CNI names of the containers that run. With
// bridges, the rules about the bridges of this home go as well.
func removeUnowned(ctx context.Context, l host.Layout, env []string, owned func() []string, bridges bool) error {
	// What a hook is just about to note is in no list yet.
	if _, err := os.Stat(l.NetConf()); err == nil {
		waiting, cancel := context.WithTimeout(ctx, hookLimit)
		defer cancel()
		lock, err := host.Lock(waiting, filepath.Join(l.NetConf(), hookLock))
		if err != nil {
			return fmt.Errorf("removing what containers left: a hook changes networks for more than %v: %w", hookLimit, err)
		}
		defer lock.Close()
	}
	t, err := newTraces(l)
	if err != nil {
		return err
	}
	// Only now: a container that has left a trace by now was there before it did.
	t.owned, t.bridges = owned(), bridges
	err = errors.Join(t.removeRules(ctx, env), t.removeFiles(), endReservers(l, t.owned))
	if err != nil {
		return fmt.Errorf("removing what containers left: %w", err)
	}
	return nil
}

// leases lists this home's leases.
func leases(l host.Layout) (all []lease, err error) {
	files, err := filepath.Glob(filepath.Join(l.Leases(), "*", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		address, err := netip.ParseAddr(filepath.Base(file))
		if err != nil {
			continue // a lock, or the last address given out
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // given back meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading a lease: %w", err)
		}
		a := lease{file: file, network: filepath.Base(filepath.Dir(file)), address: address}
		// host-local writes the container and its interface, a line each.
		if lines := strings.Fields(string(text)); len(lines) > 0 {
			a.container = lines[0]
		}
		all = append(all, a)
	}
	return all, nil
}

// results lists what CNI's library noted of this home's containers: those whose network keeps its leases here.
func results(l host.Layout) (all []cniResult) {
	entries, _ := os.ReadDir(cniResults) // none, when no container here uses CNI
	for _, e := range entries {
		var note struct {
			ContainerID, NetworkName string
			Config                   []byte
		}
		file := filepath.Join(cniResults, e.Name())
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &note) != nil || !bytes.Contains(note.Config, []byte(strconv.Quote(l.Leases()))) {
			continue
		}
		all = append(all, cniResult{file, note.NetworkName, note.ContainerID})
	}
	return all
}

// cniName is the name that nerdctl gives a container on its networks.
func cniName(bundle string) string {
	return filepath.Base(filepath.Dir(bundle)) + "-" + filepath.Base(bundle)
}

// begunContainers are the CNI names of the containers that have a bundle: that run, or are just
// being made or ended.
func begunContainers(l host.Layout) (names []string) {
	for _, bundle := range bundles(l) {
		names = append(names, cniName(bundle))
	}
	return names
}

// livingContainers are the CNI names of the containers whose first process lives, while no command
// makes or ends one.
func livingContainers(l host.Layout) (names []string) {
	for _, bundle := range bundles(l) {
		if p, ok := bundleProcess(bundle); ok {
			p.Close()
			names = append(names, cniName(bundle))
		}
	}
	return names
}

// removeFiles removes the leases and the notes of containers that do not run.
func (t traces) removeFiles() error {
	var errs []error
	for _, a := range t.leases {
		if !slices.Contains(t.owned, a.container) {
			errs = append(errs, removeFile(a.file))
		}
	}
	for _, r := range t.results {
		if !slices.Contains(t.owned, r.container) {
			errs = append(errs, removeFile(r.file))
		}
	}
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeNote removes a file that another program noted, and the directory when it was the last one there.
func removeNote(path string) error {
	err := removeFile(path)
	_ = os.Remove(filepath.Dir(path)) // not empty yet
	return err
}

// endReservers ends what holds published ports of containers that do not run: processes of our control
// group that nerdctl notes by container.
func endReservers(l host.Layout, owned []string) error {
	var errs []error
	var kept []int
	notes, _ := filepath.Glob(filepath.Join(nerdctlRun, "*", "*", "port-reserver.pid")) // the pattern is fine
	mine := groupMembers(l)
	for _, note := range notes {
		text, err := os.ReadFile(note)
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		if name := cniName(filepath.Dir(note)); slices.Contains(owned, name) {
			kept = append(kept, pid)
		} else if slices.Contains(mine, pid) {
			errs = append(errs, removeNote(note))
		}
	}
	idle := holdAll(mine, func(pid int) bool {
		return slices.Equal(host.CommandLine(pid), []string{"sleep", "infinity"}) && !slices.Contains(kept, pid) && slices.Contains(groupMembers(l), pid)
	})
	return errors.Join(append(errs, endAll(idle, time.Second)...)...)
}

// noted are the identifiers of all containers that this home keeps, or has left something of.
func noted(l host.Layout) (ids []string) {
	for _, path := range slices.Concat(keptContainers(l), bundles(l)) {
		ids = append(ids, filepath.Base(path))
	}
	return ids
}

// keptContainers lists nerdctl's own directories of containers: .../<namespace>/<id>.
func keptContainers(l host.Layout) []string {
	found, _ := filepath.Glob(filepath.Join(l.NerdctlRoot(), "*", "containers", "*", "*")) // the pattern is fine
	return found
}

// forget removes what other programs note of those containers outside of this home, once none of
// them runs: pipes, and which process held their ports.
func forget(ids []string) error {
	var errs []error
	for _, id := range ids {
		pipes, _ := filepath.Glob(filepath.Join(runtimeFIFO, "*", id+"-*"))                // the pattern is fine
		notes, _ := filepath.Glob(filepath.Join(nerdctlRun, "*", id, "port-reserver.pid")) // this one too
		for _, path := range slices.Concat(pipes, notes) {
			errs = append(errs, removeNote(path))
		}
	}
	return errors.Join(errs...)
}

// removeStrayLinks deletes what hangs on this home's bridges, once no container runs: the end of a link is
// there for as long as a process holds the network namespace of the other one.
func removeStrayLinks(l host.Layout) error {
	all, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	bridges := map[int]bool{}
	for _, link := range all {
		if ownInterface(l, link.Attrs().Name) {
			bridges[link.Attrs().Index] = true
		}
	}
	var errs []error
	for _, link := range all {
		var absent netlink.LinkNotFoundError
		if link.Type() == "veth" && bridges[link.Attrs().MasterIndex] {
			if err := netlink.LinkDel(link); err != nil && !errors.As(err, &absent) && !isNoDevice(err) {
				errs = append(errs, fmt.Errorf("removing the interface %s: %w", link.Attrs().Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// runcState is where runc keeps the state of the containers of a namespace: dockerd says where its are.
func runcState(l host.Layout, namespace string) string {
	if namespace == dockerSpace {
		return filepath.Join(l.DockerState(), "runtime-runc", namespace)
	}
	return filepath.Join(runcRoot, namespace)
}

// strayRuncStates lists, in the form of bundles, the containers of this home that runc still knows, and whose bundle is gone.
func strayRuncStates(l host.Layout) (found []string) {
	states, _ := filepath.Glob(filepath.Join(runcRoot, "*", "*", "state.json"))              // the pattern is fine
	dockers, _ := filepath.Glob(filepath.Join(runcState(l, dockerSpace), "*", "state.json")) // this one too
	for _, file := range append(states, dockers...) {
		bundle := filepath.Dir(file)
		text, err := os.ReadFile(file)
		ours := filepath.Join(l.ContainerdState(), bundlesDir, filepath.Base(filepath.Dir(bundle)), filepath.Base(bundle))
		if err != nil || !bytes.Contains(text, []byte(strconv.Quote("bundle="+ours))) {
			continue
		}
		if _, err := os.Stat(ours); errors.Is(err, os.ErrNotExist) {
			found = append(found, bundle)
		}
	}
	return found
}
