//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/host"
)

// mountPlace is where one of our programs mounts something: a pattern of filepath.Match, and the type
// of the file system, "" for all.
type mountPlace struct{ pattern, kind string }

// ownMounts are the places where the daemons, the shims and nerdctl mount something. Whatever else is
// mounted below our directories is a user's: a disk for a volume, say. It is neither unmounted nor
// removed.
func ownMounts(l host.Layout) []mountPlace {
	places := []mountPlace{
		// Containers' roots, and what containerd's mount manager has mounted for them.
		{filepath.Join(l.ContainerdState(), "io.containerd.runtime.v2.task/*/*/rootfs"), ""},
		{filepath.Join(l.ContainerdState(), "io.containerd.mount-manager.v1.*/*/*"), ""},
		// Snapshots while containerd reads or writes one; its trials of what the kernel can do.
		{filepath.Join(l.ContainerdRoot(), "tmpmounts/*"), ""},
		{filepath.Join(l.ContainerdRoot(), "io.containerd.snapshotter.v1.*/*-check*/merged"), "overlay"},
		{filepath.Join(l.ContainerdRoot(), "io.containerd.snapshotter.v1.*/*-check/*/merged"), "overlay"},
		// What containerd's libraries mount for a moment, where XDG_RUNTIME_DIR is.
		{tempMounts(l), ""},
		// Cache mounts that several steps of builds share, and the steps' networks.
		{filepath.Join(l.BuildkitRoot(), "*/cachemounts/*"), "overlay"},
		{filepath.Join(l.BuildkitRoot(), "net/*/*"), "nsfs"},
		// The memory that a container of --ipc=shareable shares.
		{filepath.Join(l.NerdctlRoot(), "*/containers/*/*/shm"), "tmpfs"},
		// The roots of dockerd's containers, their memory and secrets, their networks, and steps of its builds.
		{filepath.Join(l.DockerRoot(), "rootfs/*/*"), ""},
		{filepath.Join(l.DockerRoot(), "containers/*/mounts/*"), "tmpfs"},
		{filepath.Join(l.DockerState(), "netns/*"), "nsfs"},
		{filepath.Join(l.DockerRoot(), "buildkit/executor/*/rootfs"), ""},
		{filepath.Join(l.DockerRoot(), "buildkit/*/cachemounts/*"), "overlay"},
	}
	// dockerd mounts its data root on itself where mounts would not be shared with containers. One that was killed leaves
	// that, and the next one takes it for a user's.
	if _, err := os.Stat(dockerUnmounted(l)); err == nil {
		places = append(places, mountPlace{l.DockerRoot(), ""})
	}
	// And it mounts the volumes that have options.
	noted, _ := filepath.Glob(filepath.Join(l.DockerRoot(), "volumes/*/opts.json")) // the pattern is fine
	for _, note := range noted {
		places = append(places, mountPlace{filepath.Join(filepath.Dir(note), "_data"), ""})
	}
	return places
}

// dockerUnmounted is there when nothing was mounted on dockerd's data root before its first start since the engine's: what is, is its own.
func dockerUnmounted(l host.Layout) string { return filepath.Join(l.DockerState(), "root-unmounted") }

// noteDockerMount writes dockerUnmounted, if that is so. No dockerd of ours may run.
func noteDockerMount(l host.Layout) error {
	mounts, err := host.Mounts()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(mounts, func(m host.Mount) bool { return m.Point == l.DockerRoot() }) {
		return nil
	}
	return host.WriteFile(dockerUnmounted(l), nil, 0o600)
}

// tempMounts is the pattern of what containerd's libraries mount for a moment (core/mount).
func tempMounts(l host.Layout) string { return filepath.Join(l.Volatile(), "containerd-mount*") }

// sortMounts tells the engine's own mounts at or below dirs from others. What is mounted in one of
// ours goes with it. Both are in the order in which they were made. The memory file system of
// ensureVolatile is in neither: it is dropVolatile's.
func sortMounts(mounts []host.Mount, l host.Layout, dirs ...string) (own, others []host.Mount) {
	patterns := ownMounts(l)
	for _, m := range host.MountsAt(mounts, dirs...) {
		ours := slices.ContainsFunc(patterns, func(p mountPlace) bool {
			ok, _ := filepath.Match(p.pattern, m.Point) // the patterns are fine
			return ok && (p.kind == "" || p.kind == m.Type)
		}) || slices.ContainsFunc(own, func(o host.Mount) bool {
			return o.Point != l.DockerRoot() && strings.HasPrefix(m.Point, o.Point+"/")
		})
		switch {
		case m.Point == l.Volatile() && m.Type == "tmpfs" && m.Source == volatileSource:
			// What is in it is told apart like everything else.
		case ours:
			own = append(own, m)
		default:
			others = append(others, m)
		}
	}
	return own, others
}

// unmountOwn lazily unmounts what the engine has mounted below its directories, the latest first.
func unmountOwn(l host.Layout) error {
	mounts, err := host.Mounts()
	if err != nil {
		return err
	}
	own, _ := sortMounts(mounts, l, l.Volatile(), l.Engine())
	var errs []error
	for _, m := range slices.Backward(own) {
		errs = append(errs, unmount(m.Point))
	}
	return errors.Join(errs...)
}

// unmount lazily unmounts what is mounted at a path, if anything is.
func unmount(point string) error {
	err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting %s: %w", point, err)
	}
	return nil
}

// checkMounts fails when something that is not the engine's own is mounted at or below dirs.
func checkMounts(l host.Layout, doing string, dirs ...string) error {
	mounts, err := host.Mounts()
	if err != nil {
		return err
	}
	_, others := sortMounts(mounts, l, dirs...)
	return host.MountsError(doing, others)
}
