//go:build unix

package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// realDir is a temporary directory by its real path: the system's may be behind a link.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func makeTree(t *testing.T, root string, files ...string) {
	t.Helper()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestRemoveTreeRemovesATree(t *testing.T) {
	dir := realDir(t)
	top := filepath.Join(dir, "top")
	makeTree(t, top, "a/b/c/d", "a/e", "f")
	for i := range 1100 { // more than one batch of names
		makeTree(t, top, "many/"+string(rune('a'+i%26))+string(rune(0x4e00+i)))
	}
	if err := errors.Join(host.RemoveTree(top), host.RemoveTree(top), host.RemoveTree(filepath.Join(top, "below", "nothing"))); err != nil {
		t.Fatal(err)
	}
	if exists(top) || !exists(dir) {
		t.Error("it is still there, or more has gone")
	}
	makeTree(t, dir, "file")
	if err := host.RemoveTree(filepath.Join(dir, "file")); err != nil || exists(filepath.Join(dir, "file")) {
		t.Errorf("a file: %v", err)
	}
	for _, path := range []string{"", ".", "relative", "/", dir + "/x/..", dir + "/"} {
		if err := host.RemoveTree(path); err == nil {
			t.Errorf("%q: no error", path)
		}
	}
}

func TestRemoveTreeFollowsNoLink(t *testing.T) {
	dir := realDir(t)
	outside, top := filepath.Join(dir, "outside"), filepath.Join(dir, "top")
	makeTree(t, outside, "kept/file")
	makeTree(t, top, "a/file")
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink(outside, filepath.Join(top, "a", "link")), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	if err := host.RemoveTree(top); err != nil || exists(top) {
		t.Errorf("links in a tree: %v", err)
	}
	err := host.RemoveTree(filepath.Join(link, "kept", "file"))
	if want := "removing " + link + "/kept/file: " + link + " is no directory, and a symbolic link is not followed"; err == nil || err.Error() != want {
		t.Errorf("a link on the way: %v\nwant %s", err, want)
	}
	if err := host.RemoveTree(link); err != nil || exists(link) {
		t.Errorf("the link itself: %v", err)
	}
	if !exists(filepath.Join(outside, "kept", "file")) {
		t.Error("what the link led to is gone")
	}
}
