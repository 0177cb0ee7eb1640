package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// bind mounts one directory or file on another until the test ends.
func bind(t *testing.T, from, to string) {
	t.Helper()
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(to, unix.MNT_DETACH) })
}

// What is bind-mounted from the same file system has the same device, and is entered all the less.
func TestRemoveTreeEntersNoMount(t *testing.T) { hosttest.Mounting(t, removeTreeEntersNoMount) }

func removeTreeEntersNoMount(t *testing.T) {
	for _, c := range []struct{ name, at, seen string }{
		{"at the top", ".", ""},
		{"below", "a/b", ""},
		{"a file", "a/file", ""},
		// A tree in a mount is removed as any other: only what is mounted in it counts.
		{"above", "..", "removed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := realDir(t)
			top, outside := filepath.Join(dir, "above", "top"), filepath.Join(dir, "outside")
			makeTree(t, outside, "top/a/file", "kept")
			makeTree(t, top, "a/b/x", "a/file", "before", "z")
			from, at := outside, filepath.Join(top, c.at)
			if c.name == "a file" {
				from = filepath.Join(outside, "kept")
			}
			bind(t, from, at)
			err := host.RemoveTree(top)
			if !exists(filepath.Join(outside, "kept")) {
				t.Fatal("what was mounted is gone")
			}
			if c.seen == "removed" {
				if err != nil || exists(filepath.Join(outside, "top")) {
					t.Errorf("%v", err)
				}
				return
			}
			var hinted *hint.Error
			want := "removing " + top + ": " + at + " is mounted there, and is not linnet's to remove"
			if !errors.As(err, &hinted) || err.Error() != want || hinted.Fix != "unmount it (umount "+at+"), then try again; what is in it stays" {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if !exists(filepath.Join(outside, "top", "a", "file")) {
				t.Error("something that was mounted is gone")
			}
			if err := unix.Unmount(at, 0); err != nil {
				t.Fatal(err)
			}
			if !exists(filepath.Join(top, "before")) {
				t.Error("a part was removed before the mount was found")
			}
			if err := host.RemoveTree(top); err != nil || exists(top) {
				t.Errorf("unmounted: %v", err)
			}
		})
	}
}

// What was mounted after the list was read is found by the descriptors.
func TestRemoveTreeEntersNoMountThatIsNew(t *testing.T) {
	hosttest.Mounting(t, removeTreeEntersNoMountThatIsNew)
}

func removeTreeEntersNoMountThatIsNew(t *testing.T) {
	dir := realDir(t)
	top, outside := filepath.Join(dir, "top"), filepath.Join(dir, "outside")
	makeTree(t, outside, "deep/kept")
	makeTree(t, top, "a/b/x")
	for _, at := range []string{top, filepath.Join(top, "a", "b")} {
		bind(t, outside, at)
		err := host.RemoveUnlisted(top)
		if want := "removing " + top + ": " + at + " is mounted there, and is not linnet's to remove"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !exists(filepath.Join(outside, "deep", "kept")) {
			t.Fatal("what was mounted is gone")
		}
		if err := unix.Unmount(at, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// While a tree is removed, a directory in it becomes a link, and a mount comes and goes: nothing
// outside of it is lost, whatever is answered.
func TestRemoveTreeWhileOthersChangeTheTree(t *testing.T) {
	hosttest.Mounting(t, removeTreeWhileOthersChangeTheTree)
}

func removeTreeWhileOthersChangeTheTree(t *testing.T) {
	dir := realDir(t)
	outside := filepath.Join(dir, "outside")
	makeTree(t, outside, "kept", "deep/kept")
	race := func(t *testing.T, change func(top string)) {
		t.Helper()
		deadline := time.Now().Add(300 * time.Millisecond)
		for rounds := 0; time.Now().Before(deadline); rounds++ {
			top := filepath.Join(dir, "top")
			makeTree(t, top, "1/a/file", "2/deep/x", "3/b/file", "link/x")
			stop := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						change(top)
					}
				}
			})
			_ = host.RemoveTree(top) // refused or done: both are well
			close(stop)
			wg.Wait()
			if !exists(filepath.Join(outside, "kept")) || !exists(filepath.Join(outside, "deep", "kept")) {
				t.Fatalf("round %d: files outside of the tree are gone", rounds)
			}
			if err := host.RemoveTree(top); err != nil {
				t.Fatalf("round %d, left alone: %v", rounds, err)
			}
		}
	}
	t.Run("a link", func(t *testing.T) {
		link := filepath.Join(dir, "link")
		if err := os.Symlink(outside, link); err != nil {
			t.Fatal(err)
		}
		race(t, func(top string) { // the link into the tree, and the directory in its place out of it
			_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, filepath.Join(top, "2"), unix.RENAME_EXCHANGE)
			if !exists(link) {
				_ = os.Symlink(outside, link)
			}
		})
	})
	t.Run("a mount", func(t *testing.T) {
		makeTree(t, dir, "probe/x")
		bind(t, outside, filepath.Join(dir, "probe"))
		race(t, func(top string) {
			at := filepath.Join(top, "2")
			if unix.Mount(outside, at, "", unix.MS_BIND, "") == nil {
				_ = unix.Unmount(at, unix.MNT_DETACH)
			}
		})
	})
}
