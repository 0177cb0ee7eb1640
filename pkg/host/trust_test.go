//go:build unix

package host_test

import (
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// me is how an error names who runs this test.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username + " (uid " + u.Uid + ")"
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

// homeCase is a home and why it is not used, or that it is.
type homeCase struct{ name, home, want string }

func checkHomes(t *testing.T, cases []homeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, err := layout(c.home)
			if c.want == "" {
				if err != nil || l.Home != c.home {
					t.Errorf("%s, %v", l.Home, err)
				}
				return
			}
			var hinted *hint.Error
			if !errors.As(err, &hinted) || err.Error() != "using LINNET_HOME "+c.home+": "+c.want ||
				hinted.Fix != "only root and you may own it and all above it, and write there (chown, chmod go-w); or set LINNET_HOME to another directory" {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestHomesThatOthersMayWriteTo(t *testing.T) {
	dir := realDir(t)
	open := mkdir(t, filepath.Join(dir, "open"), 0o777)
	sticky := mkdir(t, filepath.Join(dir, "sticky"), 0o777|os.ModeSticky)
	made := mkdir(t, filepath.Join(sticky, "made"), 0o755)
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink(open+"/x", link), os.Symlink("loop", filepath.Join(dir, "loop"))); err != nil {
		t.Fatal(err)
	}
	long, mine := strings.Repeat("x", 256), me(t)
	checkHomes(t, []homeCase{
		{"writable for all", open, open + " can be written by others: it belongs to " + mine + ", mode 0777"},
		{"below what is writable for all", open + "/home", open + " can be written by others: it belongs to " + mine + ", mode 0777"},
		{"behind a link", link, open + " can be written by others: it belongs to " + mine + ", mode 0777"},
		{"a sticky directory", sticky, sticky + " can be written by others: it belongs to " + mine + ", mode 1777"},
		{"what cannot be looked at", dir + "/" + long + "/home", dir + "/" + long + " cannot be looked at: file name too long"},
		{"links without an end", dir + "/loop", dir + "/loop leads through too many symbolic links"},
		{"in a sticky directory", made, ""},
		{"to be made in a sticky directory", sticky + "/new", ""},
	})
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

// dirCase is what becomes of linnet's own directories, and why they are not used then, or that they are.
type dirCase struct {
	name    string
	prepare func(t *testing.T, l host.Layout) error
	want    string // HOME is the home, and ME who runs this test
}

func checkDirs(t *testing.T, cases []dirCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
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
			var hinted *hint.Error
			if want := strings.NewReplacer("HOME", home, "ME", me(t)).Replace(c.want); !errors.As(err, &hinted) || err.Error() != want || hinted.Fix == "" {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestDirectoriesOfOursThatOthersMayWriteTo(t *testing.T) {
	checkDirs(t, []dirCase{
		{"well", func(*testing.T, host.Layout) error { return nil }, ""},
		{"writable for all", func(_ *testing.T, l host.Layout) error { return os.Chmod(l.BuildTokens(), 0o777) }, "using what linnet keeps: HOME/build can be written by others: it belongs to ME, mode 0777"},
		{"sticky", func(_ *testing.T, l host.Layout) error { return os.Chmod(l.LimaHome(), 0o777|os.ModeSticky) }, "using what linnet keeps: HOME/lima can be written by others: it belongs to ME, mode 1777"},
		{"a link", func(_ *testing.T, l host.Layout) error {
			return errors.Join(os.Rename(l.Compose(), l.Home+"/other"), os.Symlink("other", l.Compose()))
		}, "using what linnet keeps: HOME/compose is a symbolic link, and none is followed there"},
		{"settings behind a link", func(_ *testing.T, l host.Layout) error {
			return errors.Join(os.Rename(l.Settings(), l.Home+"/mine"), os.Symlink("mine", l.Settings()))
		}, ""},
	})
}

func TestDirectoriesAreMadeForTheirUserAlone(t *testing.T) {
	dir := filepath.Join(realDir(t), "a", "b")
	if err := host.MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// fileAndSocket are a file with "text" in it and a socket that is listened on, both of this user.
func fileAndSocket(t *testing.T) (file, socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ln-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, socket = filepath.Join(dir, "file"), filepath.Join(dir, "sock")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return file, socket
}

func TestOwnFilesAndSockets(t *testing.T) {
	file, socket := fileAndSocket(t)
	link := file + ".link"
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
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
}
