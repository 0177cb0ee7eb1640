//go:build unix

package host_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

const stranger = 54321 // nobody's number

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away: make test runs this as root")
	}
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func layout(home string) (host.Layout, error) {
	return host.NewLayout(environment("LINNET_HOME", home), "/usr/bin/linnet")
}

func TestHomesThatOthersCanChange(t *testing.T) {
	dir := realDir(t)
	theirs := mkdir(t, filepath.Join(dir, "theirs"), 0o755)
	mkdir(t, filepath.Join(theirs, "below"), 0o700)
	open := mkdir(t, filepath.Join(dir, "open"), 0o777)
	sticky := mkdir(t, filepath.Join(dir, "sticky"), 0o777|os.ModeSticky)
	group := mkdir(t, filepath.Join(dir, "group"), 0o770)
	made := mkdir(t, filepath.Join(sticky, "made"), 0o755)
	planted, link := filepath.Join(sticky, "planted"), filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink(made, planted), os.Symlink(open+"/x", link), os.Symlink("loop", filepath.Join(dir, "loop"))); err != nil {
		t.Fatal(err)
	}
	chown(t, theirs, stranger)
	chown(t, planted, stranger)
	long := strings.Repeat("x", 256)
	belongs := theirs + " belongs to uid 54321, mode 0755"
	for _, c := range []struct{ name, home, want string }{
		{"another's", theirs, belongs},
		{"below another's", theirs + "/below", belongs},
		{"not made yet, below another's", theirs + "/new/home", belongs},
		{"writable for all", open, open + " can be written by others: it belongs to root (uid 0), mode 0777"},
		{"below what is writable for all", open + "/home", open + " can be written by others: it belongs to root (uid 0), mode 0777"},
		{"behind a link", link, open + " can be written by others: it belongs to root (uid 0), mode 0777"},
		{"writable for a group", group, group + " can be written by others: it belongs to root (uid 0), mode 0770"},
		{"a sticky directory", sticky, sticky + " can be written by others: it belongs to root (uid 0), mode 1777"},
		{"a link that another made", planted, planted + " belongs to uid 54321, mode 0777"},
		{"what cannot be looked at", dir + "/" + long + "/home", dir + "/" + long + " cannot be looked at: file name too long"},
		{"links without an end", dir + "/loop", dir + "/loop leads through too many symbolic links"},
		{"in a sticky directory", made, ""},
		{"to be made in a sticky directory", sticky + "/new", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := layout(c.home)
			if c.want == "" {
				if err != nil || l.Home != c.home {
					t.Errorf("%s, %v", l.Home, err)
				}
				return
			}
			var hint *host.HintError
			if !errors.As(err, &hint) || err.Error() != "using LINNET_HOME "+c.home+": "+c.want ||
				hint.Fix != "only root and you may own it and all above it, and write there (chown, chmod go-w); or set LINNET_HOME to another directory" {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestHomeIsResolvedOnce(t *testing.T) {
	dir := realDir(t)
	home := mkdir(t, filepath.Join(dir, "disk", "home"), 0o700)
	for name, target := range map[string]string{"link": home, "relative": "disk/../disk/./home", "parent": filepath.Dir(home), "second": "link", "dangling": "disk/later"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for named, want := range map[string]string{
		"disk/home": home, "link": home, "relative": home, "parent/home": home, "second": home,
		"parent/new/home": filepath.Join(dir, "disk", "new", "home"), "dangling": filepath.Join(dir, "disk", "later"),
		"dangling/x": filepath.Join(dir, "disk", "later", "x"),
	} {
		l, err := layout(filepath.Join(dir, named))
		if err != nil || l.Home != want || l.ID() != (host.Layout{Home: want}).ID() {
			t.Errorf("%s: %s (%v), want %s", named, l.Home, err, want)
		}
	}
}

func TestDirectoriesOfOursThatOthersCanChange(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, l host.Layout) error
		want    string // %s is the home
	}{
		{"well", func(*testing.T, host.Layout) error { return nil }, ""},
		{"the home itself", func(t *testing.T, l host.Layout) error { chown(t, l.Home, stranger); return nil }, "using what linnet keeps: %s belongs to uid 54321, mode 0755"},
		{"another's", func(t *testing.T, l host.Layout) error { chown(t, l.Run(), stranger); return nil }, "using what linnet keeps: %s/native/run belongs to uid 54321, mode 0700"},
		{"writable for all", func(_ *testing.T, l host.Layout) error { return os.Chmod(l.BuildTokens(), 0o777) }, "using what linnet keeps: %s/build can be written by others: it belongs to root (uid 0), mode 0777"},
		{"sticky", func(_ *testing.T, l host.Layout) error { return os.Chmod(l.LimaHome(), 0o777|os.ModeSticky) }, "using what linnet keeps: %s/lima can be written by others: it belongs to root (uid 0), mode 1777"},
		{"a link", func(_ *testing.T, l host.Layout) error {
			return errors.Join(os.Rename(l.Compose(), l.Home+"/other"), os.Symlink("other", l.Compose()))
		}, "using what linnet keeps: %s/compose is a symbolic link, and none is followed there"},
		{"settings of another", func(t *testing.T, l host.Layout) error { chown(t, l.Settings(), stranger); return nil }, "reading the settings: %s/linnet.yaml belongs to uid 54321, mode 0644"},
		{"settings behind a link", func(_ *testing.T, l host.Layout) error {
			return errors.Join(os.Rename(l.Settings(), l.Home+"/mine"), os.Symlink("mine", l.Settings()))
		}, ""},
		{"a program of another", func(t *testing.T, l host.Layout) error { chown(t, l.Bin("nerdctl"), stranger); return nil }, "running linnet's components as root: %s/libexec/bin/nerdctl belongs to uid 54321, mode 0755"},
		{"programs that all may replace", func(_ *testing.T, l host.Layout) error { return os.Chmod(l.BinDir(), 0o777) }, "running linnet's components as root: %s/libexec/bin can be written by others: it belongs to root (uid 0), mode 0777"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chown(t, t.TempDir(), 0)
			home := mkdir(t, filepath.Join(realDir(t), "home"), 0o755)
			l := host.Layout{Home: home, Libexec: filepath.Join(home, "libexec")}
			for _, dir := range []string{l.Run(), l.BuildTokens(), l.LimaHome(), l.Compose()} {
				mkdir(t, dir, 0o700)
			}
			makeTree(t, home, "linnet.yaml", "libexec/bin/nerdctl", "libexec/cni/bridge", "prefix/bin/linnet")
			if err := errors.Join(os.Chmod(l.Bin("nerdctl"), 0o755), c.prepare(t, l)); err != nil {
				t.Fatal(err)
			}
			err := l.CheckOwners(filepath.Join(home, "prefix", "bin", "linnet"))
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var hint *host.HintError
			if want := fmt.Sprintf(c.want, home); !errors.As(err, &hint) || err.Error() != want || hint.Fix == "" {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// Who can change the program that runs can have it run anything: that its components are theirs, too,
// makes nothing worse. So one may use a checkout that belongs to somebody else.
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

func TestDirectoriesThatSomebodyElseMadeFirst(t *testing.T) {
	dir := filepath.Join(realDir(t), "a", "b")
	if err := host.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	chown(t, filepath.Dir(dir), stranger)
	err := host.MakeDir(dir)
	if want := "making " + dir + ": " + filepath.Dir(dir) + " belongs to uid 54321, mode 0700"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFilesAndSocketsOfOthers(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "ln-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, link, socket := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "sock")
	if err := errors.Join(os.WriteFile(file, []byte("text"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if text, err := host.ReadOwn(file); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	conn, err := host.DialUnix(t.Context(), socket)
	if err != nil || !host.Listens(socket) {
		t.Fatal(err)
	}
	conn.Close()
	var distrust *host.DistrustError
	if _, err := host.ReadOwn(link); !errors.As(err, &distrust) || err.Error() != link+" is a symbolic link, and none is followed there" {
		t.Errorf("a link: %v", err)
	}
	chown(t, file, stranger)
	chown(t, socket, stranger)
	if _, err := host.ReadOwn(file); !errors.As(err, &distrust) || err.Error() != file+" belongs to uid 54321, mode 0600" {
		t.Errorf("another's: %v", err)
	}
	if _, err := host.DialUnix(t.Context(), socket); !errors.As(err, &distrust) || host.Listens(socket) {
		t.Errorf("another's socket: %v", err)
	}
}
