//go:build linux

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

func TestUsersMountsAreToldFromTheEnginesOwn(t *testing.T) {
	l := host.Layout{Home: "/h"}
	v := l.Volatile()
	own := []host.Mount{
		{Point: v + "/containerd/io.containerd.runtime.v2.task/default/0123/rootfs", Type: "overlay"},
		{Point: v + "/containerd/io.containerd.runtime.v2.task/default/4567/rootfs", Type: "ext4"}, // the native snapshotter's
		{Point: v + "/containerd/io.containerd.runtime.v2.task/default/0123/rootfs/proc", Type: "proc"},
		{Point: v + "/containerd/io.containerd.mount-manager.v1.bolt/t/7", Type: "overlay"},
		{Point: "/h/native/containerd/tmpmounts/containerd-mount123", Type: "overlay"},
		{Point: "/h/native/containerd/io.containerd.snapshotter.v1.overlayfs/multiple-lowerdir-check7/merged", Type: "overlay"},
		{Point: "/h/native/containerd/io.containerd.snapshotter.v1.overlayfs/userxattr-check/7/merged", Type: "overlay"},
		{Point: "/h/native/buildkit/containerd-overlayfs/cachemounts/buildkit42", Type: "overlay"},
		{Point: "/h/native/buildkit/net/cni/abc", Type: "nsfs"},
		{Point: "/h/native/nerdctl/1935db59/containers/default/0123/shm", Type: "tmpfs"},
		{Point: "/h/native/docker/rootfs/overlayfs/0123", Type: "overlay"},
		{Point: "/h/native/docker/containers/0123/mounts/shm", Type: "tmpfs"},
		{Point: v + "/docker/netns/default", Type: "nsfs"},
	}
	users := []host.Mount{
		{Point: "/h/native/docker", Type: "ext4"},
		{Point: "/h/native/docker/volumes/data/_data", Type: "ext4"},
		{Point: v, Type: "ext4"},
		{Point: v, Type: "tmpfs", Source: "tmpfs"},
		{Point: v + "/containerd", Type: "ext4"},
		{Point: v + "/containerd/io.containerd.runtime.v2.task/default", Type: "ext4"},
		{Point: v + "/stage", Type: "ext4"},
		{Point: "/h/native", Type: "ext4"},
		{Point: "/h/native/containerd", Type: "xfs"},
		{Point: "/h/native/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots", Type: "xfs"},
		{Point: "/h/native/nerdctl/1935db59/volumes/default/data/_data", Type: "nfs4"},
		{Point: "/h/native/nerdctl/1935db59/containers/default/0123/shm", Type: "ext4"},
		{Point: "/h/native/buildkit/net/cni/abc", Type: "ext4"},
	}
	neither := []host.Mount{
		{Point: v, Type: "tmpfs", Source: "linnet"},
		{Point: "/h", Type: "ext4"},
		{Point: "/h/native-other", Type: "ext4"},
		{Point: "/elsewhere", Type: "overlay"},
	}
	gotOwn, gotUsers := sortMounts(slices.Concat(neither, own, users), l, v, l.Engine())
	if !slices.Equal(gotOwn, own) {
		t.Errorf("ours are\n%v, want\n%v", gotOwn, own)
	}
	if !slices.Equal(gotUsers, users) {
		t.Errorf("users' are\n%v, want\n%v", gotUsers, users)
	}
}

// dockerd mounts its data root on itself, and volumes that say what is in them. A user's disk in it stays a user's.
func TestMountsThatDockerdHasNoted(t *testing.T) {
	l := host.Layout{Home: t.TempDir(), Runtime: t.TempDir()}
	noted := filepath.Join(l.DockerRoot(), "volumes", "nfs")
	if err := errors.Join(os.MkdirAll(noted, 0o700), os.MkdirAll(l.DockerState(), 0o700),
		os.WriteFile(filepath.Join(noted, "opts.json"), nil, 0o600), noteDockerMount(l)); err != nil {
		t.Fatal(err)
	}
	own := []host.Mount{{Point: l.DockerRoot(), Type: "ext4"}, {Point: filepath.Join(noted, "_data"), Type: "nfs4"}}
	users := []host.Mount{{Point: filepath.Join(l.DockerRoot(), "volumes", "disk", "_data"), Type: "ext4"}}
	gotOwn, gotUsers := sortMounts(slices.Concat(own, users), l, l.Engine())
	if !slices.Equal(gotOwn, own) || !slices.Equal(gotUsers, users) {
		t.Errorf("ours are %v, users' %v", gotOwn, gotUsers)
	}
}
