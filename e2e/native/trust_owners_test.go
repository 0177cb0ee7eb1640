//go:build e2e && linux

package native_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/host"
)

// stranger is a user who exists nowhere.
const stranger = 54321

// give gives a tree to the stranger.
func give(t *testing.T, top string) {
	t.Helper()
	err := filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, stranger, stranger))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A home that another user has prepared, with an engine that seems to run, has root run nothing of it.
func TestAHomePreparedByAnotherRunsNothing(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &lab.Engine{Home: filepath.Join(dir, "theirs", "home"), User: dir}
	l, mark := layoutOf(e), filepath.Join(dir, "ran")
	plugins := filepath.Join(e.Home, "cni")
	for _, d := range []string{l.Run(), filepath.Dir(l.Spec()), l.NetConf(), plugins} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What nerdctl asks for its version when it makes a network.
	program := "#!/bin/sh\nid -u >> " + mark + "\necho CNI firewall plugin v1.9.1 >&2\n"
	toml := fmt.Sprintf("address = \"unix://%s\"\ncni_path = %q\ncni_netconfpath = %q\ndata_root = %q\n", l.Socket("containerd"), plugins, l.NetConf(), e.Home)
	for _, name := range []string{"bridge", "host-local", "portmap", "firewall", "tuning"} {
		if err := os.WriteFile(filepath.Join(plugins, name), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(l.NerdctlTOML(), []byte(toml), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"agent", "containerd"} {
		listener, err := net.Listen("unix", l.Socket(name))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for c, err := listener.Accept(); err == nil; c, err = listener.Accept() {
				c.Close()
			}
		}()
	}
	give(t, filepath.Dir(e.Home))
	want := "linnet: using LINNET_HOME " + e.Home + ": " + filepath.Dir(e.Home) + " belongs to uid 54321, mode 0755\n" +
		"hint: only root and you may own it and all above it, and write there (chown, chmod go-w); or set LINNET_HOME to another directory\n"
	for _, args := range [][]string{{"network", "create", "mine"}, {"build", dir}, {"compose", "ps"}, {"engine", "start"}, {"engine", "reset", "--force"}, {"cache", "rm", "x"}} {
		if r := e.Run(t, args...); r.Code != 1 || r.Out != "" || r.Err != want {
			t.Errorf("%v: exit code %d, %q\n%s\nwant\n%s", args, r.Code, r.Out, r.Err, want)
		}
		if ran, err := os.ReadFile(mark); !os.IsNotExist(err) {
			t.Fatalf("their program ran as uid %q (%v)", ran, err)
		}
	}
}

// Whatever linnet goes by is root's, and no other user's to write; one line says what is not.
func TestWhatOthersMayChangeIsNotUsed(t *testing.T) {
	e := lab.New(t)
	e.Must(t, "engine", "start")
	e.Must(t, "engine", "stop")
	l := layoutOf(e)
	if err := errors.Join(os.MkdirAll(l.BuildTokens(), 0o700), os.WriteFile(l.Settings(), []byte("log: {level: info}\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	libexec := filepath.Join(t.TempDir(), "linnet")
	for _, dir := range []string{"bin", "cni"} {
		entries, err := os.ReadDir(filepath.Join(l.Libexec, dir))
		if err := errors.Join(err, os.MkdirAll(filepath.Join(libexec, dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries { // never run
			if err := os.WriteFile(filepath.Join(libexec, dir, entry.Name()), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	runc := filepath.Join(libexec, "bin", "runc")
	const theirs = " belongs to uid 54321, mode "
	const open = " can be written by others: it belongs to root (uid 0), mode 0777"
	for _, c := range []struct {
		path, want string
		open       bool // it is writable for all, instead of another's
		command    []string
	}{
		{e.Home, "using LINNET_HOME " + e.Home + ": " + e.Home + open, true, []string{"ps"}},
		{filepath.Dir(e.Home), "using LINNET_HOME " + e.Home + ": " + filepath.Dir(e.Home) + theirs + "0700", false, []string{"ps"}},
		{l.Settings(), "reading the settings: " + l.Settings() + theirs + "0644", false, []string{"config", "show"}},
		{l.Engine(), "using what linnet keeps: " + l.Engine() + theirs + "0700", false, []string{"engine", "reset", "--force"}},
		{l.Run(), "using what linnet keeps: " + l.Run() + open, true, []string{"ps"}},
		{l.BuildTokens(), "using what linnet keeps: " + l.BuildTokens() + open, true, []string{"build", e.User}},
		{filepath.Join(libexec, "bin"), "running linnet's components as root: " + filepath.Join(libexec, "bin") + open, true, []string{"version"}},
		{runc, "running linnet's components as root: " + runc + theirs + "0755", false, []string{"ps"}},
	} {
		info, err := os.Lstat(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if c.open {
			err = os.Chmod(c.path, 0o777)
		} else {
			err = os.Lchown(c.path, stranger, stranger)
		}
		with := &lab.Engine{Home: e.Home, User: e.User, Env: e.Env}
		if strings.HasPrefix(c.path, libexec) {
			with.Env = append(with.Env, "LINNET_LIBEXEC="+libexec)
		}
		r := with.Run(t, c.command...)
		if err := errors.Join(err, os.Lchown(c.path, 0, 0), os.Chmod(c.path, info.Mode())); err != nil {
			t.Fatal(err)
		}
		if r.Code != 1 || r.Out != "" || !strings.HasPrefix(r.Err, "linnet: "+c.want+"\nhint: ") || strings.Count(r.Err, "\n") != 2 {
			t.Errorf("%s: exit code %d, %q\n%s\nwant %s", c.path, r.Code, r.Out, r.Err, c.want)
		}
	}
	// A socket of another's is not spoken to, and what is by itself well works again.
	e.Must(t, "engine", "start")
	if err := os.Lchown(l.Socket("agent"), stranger, stranger); err != nil {
		t.Fatal(err)
	}
	want := "linnet: connecting to the agent: " + l.Socket("agent") + theirs + "0600\nhint: see who made it: the engine's sockets are root's or yours\n"
	if r := e.Run(t, "ps"); r.Code != 1 || r.Err != want {
		t.Errorf("exit code %d, %q, want %q", r.Code, r.Err, want)
	}
	if err := os.Lchown(l.Socket("agent"), 0, 0); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "ps")
}

// One home has one engine, whatever it is called.
func TestALinkedHomeIsTheHome(t *testing.T) {
	e := lab.New(t)
	dir := filepath.Dir(e.Home)
	linked := &lab.Engine{Home: filepath.Join(dir, "link"), User: e.User}
	if err := os.Symlink("home", linked.Home); err != nil {
		t.Fatal(err)
	}
	linked.Must(t, "volume", "create", "data") // makes what the link leads to
	if got := e.Must(t, "volume", "ls", "-q"); got != "data" {
		t.Errorf("volumes by the other name: %q", got)
	}
	a, b := engineStatus(t, e), engineStatus(t, linked)
	if a.Home != e.Home || b.Home != e.Home || a.Network != b.Network || a.Network.Bridge != "linnet-"+(host.Layout{Home: e.Home}).ID() {
		t.Errorf("%+v\n%+v", a, b)
	}
	linked.Must(t, "engine", "reset", "--force")
	if _, err := os.Lstat(linked.Home); err != nil {
		t.Errorf("the link is gone: %v", err)
	}
}
