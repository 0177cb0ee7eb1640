//go:build e2e

package localdir

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// An ordinary user's directories, which a group of theirs alone may write to (umask 002), are their own word.
// Only root can give files away: make test-unit runs it.
func TestALinkInADirectoryOfAPrivateGroup(t *testing.T) {
	const daemon, games = 1, 60 // users with a group of their own, or one that is another's
	dir := hosttest.Files(t, map[string]string{"in/Dockerfile": "->../out/file", "out/file": "FROM scratch\n"})
	for _, path := range []string{filepath.Dir(dir), dir, filepath.Join(dir, "in"), filepath.Join(dir, "out")} {
		if err := os.Chmod(path, 0o775); err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(dir, "in")
	read := func(uid, gid int) error {
		t.Helper()
		err := errors.Join(os.Chown(in, uid, gid), os.Chmod(in, 0o775), os.Chown(filepath.Join(dir, "out"), uid, gid), syscall.Seteuid(uid))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Seteuid(0); err != nil {
				t.Fatal(err)
			}
		}()
		f, err := locateDockerfile(filepath.Join(in, "Dockerfile"), nil, 0)
		if err == nil && string(f.Text) != "FROM scratch\n" {
			t.Errorf("it is %q", f.Text)
		}
		return err
	}
	if err := read(daemon, daemon); err != nil {
		t.Errorf("a group of its user alone: %v", err)
	}
	for what, ids := range map[string][2]int{"another's group": {daemon, games}, "root's group": {0, 0}} {
		if err := read(ids[0], ids[1]); !errors.As(err, new(*leadsOutError)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
