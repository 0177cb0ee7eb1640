package host

import (
	"slices"
	"testing"
)

func TestMountsAreReadFromMountinfo(t *testing.T) {
	const info = `22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
41 22 0:31 / /run/linnet/1/containerd/a/rootfs rw,relatime - overlay overlay rw,lowerdir=/run/linnet/1/containerd/x
42 22 0:32 /x /run/linnet/1/containerd/a\040b\011c\134040 rw shared:7 master:1 - tmpfs a\040b rw
43 22 0:33 / /run/linnet/1/containerd-other rw - overlay overlay rw
45 22 0:35 / /elsewhere rw - overlay /run/linnet/1/containerd/a rw

torn
`
	mounts := parseMounts(info)
	want := []Mount{
		{Point: "/run/linnet/1/containerd/a/rootfs", Type: "overlay", Source: "overlay", Device: "0:31", Root: "/"},
		{Point: "/run/linnet/1/containerd/a b\tc\\040", Type: "tmpfs", Source: "a b", Device: "0:32", Root: "/x"},
	}
	if got := MountsAt(mounts, "/run/linnet/1/containerd", "/none"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := MountsAt(mounts, want[0].Point); !slices.Equal(got, want[:1]) || len(mounts) != 5 {
		t.Errorf("the point itself: %q of %q", got, mounts)
	}
}

func TestTheMountOfAFileIsKnownWithoutStatx(t *testing.T) {
	id, err := parseMountID("pos:\t0\nflags:\t02000000\nmnt_id:\t29\nino:\t2\n")
	if err != nil || id != 29 {
		t.Errorf("%d, %v", id, err)
	}
	if _, err := parseMountID("pos:\t0\n"); err == nil {
		t.Error("no identifier, and no error")
	}
}
