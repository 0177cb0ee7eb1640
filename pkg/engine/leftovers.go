//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host"
)

// mounted are the folders below which the daemons and shims mount things.
func mounted(l host.Layout) []string {
	return []string{l.Volatile(), l.ContainerdRoot(), l.BuildkitRoot(), l.NerdctlRoot()}
}

// endLeftovers ends the shims that outlived their containers and unmounts what they had
// mounted, so that nothing of a stopped engine runs or is busy.
func endLeftovers(l host.Layout) error {
	var errs []error
	for _, pid := range slices.Concat(bundlePIDs(l), shims(l), helpers(l)) {
		if err := endProcess(pid, 2*time.Second); err != nil {
			errs = append(errs, err)
		}
	}
	for _, root := range mounted(l) {
		if err := unmountBelow(root); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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

// unmountBelow lazily unmounts every mount point below a folder, deepest first.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	points := mountsBelow(string(text), dir)
	var errs []error
	for i := len(points) - 1; i >= 0; i-- {
		if err := unix.Unmount(points[i], unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", points[i], err))
		}
	}
	return errors.Join(errs...)
}

// mountsBelow picks the mount points below dir out of a mountinfo (proc(5)), in its order.
func mountsBelow(mountinfo, dir string) []string {
	octal := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := octal.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
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
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
