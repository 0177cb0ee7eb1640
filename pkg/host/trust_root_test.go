//go:build e2e && unix

package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

// What is here only root can prepare: make test-unit runs it.

const stranger = 54321 // no user's number

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func TestHomesOfOthers(t *testing.T) {
	dir := realDir(t)
	theirs := mkdir(t, filepath.Join(dir, "theirs"), 0o755)
	mkdir(t, filepath.Join(theirs, "below"), 0o700)
	group := mkdir(t, filepath.Join(dir, "group"), 0o770)
	sticky := mkdir(t, filepath.Join(dir, "sticky"), 0o777|os.ModeSticky)
	made, planted := mkdir(t, filepath.Join(sticky, "made"), 0o755), filepath.Join(sticky, "planted")
	if err := os.Symlink(made, planted); err != nil {
		t.Fatal(err)
	}
	chown(t, theirs, stranger)
	chown(t, planted, stranger)
	belongs := theirs + " belongs to uid 54321, mode 0755"
	checkHomes(t, []homeCase{
		{"another's", theirs, belongs},
		{"below another's", theirs + "/below", belongs},
		{"not made yet, below another's", theirs + "/new/home", belongs},
		{"writable for a group", group, group + " can be written by others: it belongs to root (uid 0), mode 0770"},
		{"a link that another made", planted, planted + " belongs to uid 54321, mode 0777"},
	})
}

func TestDirectoriesOfOursThatAreOthers(t *testing.T) {
	checkDirs(t, []dirCase{
		{"the home itself", func(t *testing.T, l host.Layout) error { chown(t, l.Home, stranger); return nil }, "using what linnet keeps: HOME belongs to uid 54321, mode 0755"},
		{"another's", func(t *testing.T, l host.Layout) error { chown(t, l.Run(), stranger); return nil }, "using what linnet keeps: HOME/native/run belongs to uid 54321, mode 0700"},
		{"settings of another", func(t *testing.T, l host.Layout) error { chown(t, l.Settings(), stranger); return nil }, "reading the settings: HOME/linnet.yaml belongs to uid 54321, mode 0644"},
		{"a program of another", func(t *testing.T, l host.Layout) error { chown(t, l.Bin("nerdctl"), stranger); return nil }, "running linnet's components as root: HOME/libexec/bin/nerdctl belongs to uid 54321, mode 0755"},
		{"programs that all may replace", func(_ *testing.T, l host.Layout) error { return os.Chmod(l.BinDir(), 0o777) }, "running linnet's components as root: HOME/libexec/bin can be written by others: it belongs to ME, mode 0777"},
	})
}

// Who can change the program that runs can have it run anything: that its components are theirs, too,
// makes nothing worse. So one may use a checkout that belongs to another user.
func TestComponentsBesideTheProgramAreAsGoodAsTheProgram(t *testing.T) {
	prefix := mkdir(t, filepath.Join(realDir(t), "checkout"), 0o755)
	makeTree(t, prefix, "bin/linnet", "libexec/bin/nerdctl", "libexec/cni/bridge", "libexec/bin/containerd")
	for _, name := range []string{"", "bin", "libexec", "libexec/bin", "libexec/bin/nerdctl"} {
		chown(t, filepath.Join(prefix, name), stranger)
	}
	l := host.Layout{Home: "/h", Libexec: filepath.Join(prefix, "libexec")}
	program := filepath.Join(prefix, "bin", "linnet")
	if err := l.CheckPrograms(program); err != nil {
		t.Error(err)
	}
	chown(t, filepath.Join(prefix, "libexec", "bin", "containerd"), stranger+1)
	if err := l.CheckPrograms(program); err == nil || !strings.HasPrefix(err.Error(), "running linnet's components as root: "+prefix+"/libexec/bin/containerd belongs to uid 54322") {
		t.Errorf("a third's: %v", err)
	}
	if err := l.CheckPrograms("/usr/bin/linnet"); err == nil || !strings.Contains(err.Error(), prefix+" belongs to uid 54321") {
		t.Errorf("for another program: %v", err)
	}
}

func TestDirectoriesThatAnotherUserMadeFirst(t *testing.T) {
	dir := filepath.Join(realDir(t), "a", "b")
	if err := host.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	chown(t, filepath.Dir(dir), stranger)
	err := host.MakeDir(dir)
	if want := "making " + dir + ": " + filepath.Dir(dir) + " belongs to uid 54321, mode 0700"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFilesAndSocketsOfOthers(t *testing.T) {
	file, socket := fileAndSocket(t)
	chown(t, file, stranger)
	chown(t, socket, stranger)
	var distrust *host.DistrustError
	if _, err := host.ReadOwn(file); !errors.As(err, &distrust) || err.Error() != file+" belongs to uid 54321, mode 0600" {
		t.Errorf("another's: %v", err)
	}
	if _, err := host.DialUnix(t.Context(), socket); !errors.As(err, &distrust) || host.Listens(socket) {
		t.Errorf("another's socket: %v", err)
	}
}
