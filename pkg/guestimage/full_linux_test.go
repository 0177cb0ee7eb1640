package guestimage

import (
	"os"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

func TestADiskThatFillsUpIsTold(t *testing.T) { hosttest.Mounting(t, diskThatFillsUpIsTold) }

// A disk that is full in the middle of the download, then in the middle of unpacking, although free space was not known before: what
// has come stays, nothing half-made does, and with more room it goes on from there.
func diskThatFillsUpIsTold(t *testing.T) {
	data, d := pack(t)
	srv := serve(t, data, nil)
	s := store(t)
	s.free = func(string) (int64, bool) { return 0, false }
	dir := s.layout.Images()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=200k,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	want := "writing to " + dir + ": no space left on device\nhint: free some space there, or set LINNET_HOME to a directory on another disk"
	for _, size := range []string{"size=200k", "size=500k"} {
		if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, size); err != nil {
			t.Fatal(err)
		}
		if err := s.Fetch(t.Context(), srv.source(d), nil); told(err) != want {
			t.Errorf("%s: %s\nwant %s", size, told(err), want)
		}
		all, err := s.List()
		if err != nil || len(all) != 1 || !all[0].Partial {
			t.Errorf("%s: listed: %+v, %v", size, all, err)
		}
	}
	if _, err := os.Stat(s.unfinished(d)); !os.IsNotExist(err) {
		t.Errorf("what was half unpacked: %v", err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	asked := len(srv.ranges)
	if err := s.Fetch(t.Context(), srv.source(d), nil); err != nil || !s.Has(d) || len(srv.ranges) != asked {
		t.Errorf("with more room: %s; asked for %q", told(err), srv.ranges)
	}
	if asked != 2 || srv.ranges[1] == "" {
		t.Errorf("asked for %q", srv.ranges)
	}
}
