//go:build e2e && linux

package native_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Things that lie in the engine's directories and are not what they seem hinder no command.
func TestStaleAndTornFiles(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	e.Must(t, "volume", "create", "data")
	e.Must(t, "network", "create", "mine")
	e.Must(t, "run", "--name", "kept", "--network=none", image, "true")
	l := layoutOf(e)
	network := engineStatus(t, e).Network

	type plant struct {
		name  string
		plant func(t *testing.T)
	}
	write := func(text string, paths ...string) func(t *testing.T) {
		return func(t *testing.T) {
			for _, path := range paths {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	sockets := []string{l.Socket("agent"), l.Socket("containerd"), l.Socket("containerd") + ".ttrpc", l.Socket("buildkitd"), l.Socket("buildkitd-otel")}
	for _, p := range []plant{
		{"sockets that no process listens on", func(t *testing.T) {
			for _, path := range sockets {
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 1), unix.Close(fd)); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"plain files in the place of sockets", write("", sockets...)},
		// We keep none; a program that believes in one would take the first process for ours.
		{"pid files", write("1\n", filepath.Join(l.Run(), "agent.pid"), filepath.Join(l.Run(), "containerd.pid"), filepath.Join(l.Run(), "buildkitd.pid"))},
		{"an engine.json that is torn", write(`{"layout": {"Home": "/no`, l.Spec())},
		{"a containerd.toml that is torn", write(`version = `, l.Config("containerd.toml"))},
		{"a buildkitd.toml that is torn", write(`root = "`, l.Config("buildkitd.toml"))},
		{"a nerdctl.toml that is torn", write(`address = "unix:`, l.NerdctlTOML())},
		{"a default network that is torn", write(`{"cniVersion": "1.0.0", "na`, filepath.Join(l.NetConf(), "nerdctl-bridge.conflist"))},
		{"a default network that is empty", write(``, filepath.Join(l.NetConf(), "nerdctl-bridge.conflist"))},
		{"files that were being written", write("{", filepath.Join(filepath.Dir(l.Spec()), ".engine.json.123"), filepath.Join(l.Run(), ".x"))},
	} {
		t.Run(p.name, func(t *testing.T) {
			before := possessions(t, e)
			e.Must(t, "engine", "stop")
			p.plant(t)
			if after := possessions(t, e); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if got := e.Must(t, "run", "--rm", image, "echo", "works"); got != "works" {
				t.Errorf("a container says %q", got)
			}
			if got := engineStatus(t, e).Network; got != network {
				t.Errorf("the default network is %v and was %v", got, network)
			}
		})
	}
	t.Run("a network that is torn", func(t *testing.T) {
		e.Must(t, "engine", "stop")
		file := filepath.Join(l.NetConf(), "default", "nerdctl-mine.conflist")
		write(`{"cniVersion": "1.0.0", "na`, file)(t)
		if got := e.Must(t, "network", "ls", "--format", "{{.Name}}"); strings.Contains(got, "mine") {
			t.Errorf("networks: %q", got)
		}
		if _, err := os.Stat(file + ".torn"); err != nil {
			t.Errorf("what was left of it is lost: %v", err)
		}
		e.Must(t, "network", "create", "mine")
		e.Must(t, "run", "--rm", "--net", "mine", image, "true")
	})
}

// A home that cannot serve is refused in one line with a hint, at once.
func TestHomesThatCannotServe(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	readOnly, file := filepath.Join(dir, "ro"), filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(readOnly, 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("linnet-test", readOnly, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(readOnly, 0) })
	const writable = "hint: set LINNET_HOME to a directory that you can write to\n"
	long := "/tmp/" + strings.Repeat("l", 90)
	for _, c := range []struct{ name, home, want string }{
		{"read-only", readOnly + "/home", "linnet: writing to " + readOnly + "/home: read-only file system\n" + writable},
		// The settings are read first.
		{"below a file", file + "/home", "linnet: reading ~/file/home/linnet.yaml: not a directory\nhint: its directory, or one above, is a file: move that away, or name another directory\n"},
		{"a file", file, "linnet: reading ~/file/linnet.yaml: not a directory\nhint: its directory, or one above, is a file: move that away, or name another directory\n"},
		{
			"too long", long, "linnet: LINNET_HOME " + long + " is too long for a socket below it: 95 bytes, at most 70\n" +
				"hint: set LINNET_HOME to a shorter path; a symbolic link to the long one will not do\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &lab.Engine{Home: c.home, User: dir}
			for _, args := range [][]string{{"ps"}, {"engine", "start"}} {
				if r := e.Run(t, args...); r.Code != 1 || r.Out != "" || r.Err != c.want {
					t.Errorf("%v: exit code %d, %q\n%s\nwant\n%s", args, r.Code, r.Out, r.Err, c.want)
				}
			}
		})
	}
}

// A full disk is named, loses nothing, and all is well when there is room again.
func TestFullDisk(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("linnet-test", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	e := &lab.Engine{Home: filepath.Join(disk, "home"), User: dir, Env: []string{"LINNET_ENGINE_STOP_TIMEOUT=1s"}}
	filler := filepath.Join(disk, "filler")
	fill := func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for chunk := make([]byte, 64<<10); len(chunk) > 0; {
			if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
				chunk = chunk[:len(chunk)/2]
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	full := "linnet: writing to " + e.Home + ": no space left on device\nhint: free some space there, or set LINNET_HOME to a directory on another disk\n"
	fill()
	if r := e.Run(t, "ps"); r.Code != 1 || !strings.HasSuffix(r.Err, full) {
		t.Errorf("the first start: exit code %d, %q, want %q", r.Code, r.Err, full)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	image := e.Busybox(t)
	t.Cleanup(func() { e.Must(t, "engine", "reset", "--force") })
	e.Must(t, "volume", "create", "data")
	e.Must(t, "run", "-d", "--name", "kept", image, "sleep", "1000")
	before := possessions(t, e)
	e.Must(t, "engine", "stop", "-t", "0s")

	fill()
	begin := time.Now()
	r := e.Run(t, "ps")
	if took := time.Since(begin); r.Code != 1 || took > 30*time.Second || !strings.Contains(r.Err, "no space left on device") || !strings.Contains(r.Err, "\nhint: ") {
		t.Errorf("after %v: exit code %d, %q", took, r.Code, r.Err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if after := possessions(t, e); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	e.Must(t, "start", "kept")

	// Under a running engine.
	fill()
	if r := e.Run(t, "build", "-t", "more", buildContext(t, image, "more")); r.Code == 0 || !strings.Contains(r.Err, "no space left on device") {
		t.Errorf("a build: exit code %d, %q", r.Code, r.Err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if after := possessions(t, e); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	e.Must(t, "build", "-q", "-t", "more", buildContext(t, image, "more"))
}

// Every mistake in linnet.yaml is told at once, and the engine is not touched by it.
func TestBadSettings(t *testing.T) {
	e := lab.New(t)
	e.Must(t, "volume", "create", "data")
	file := layoutOf(e).Settings()
	if err := os.WriteFile(file, []byte("engine:\n  logSize: 4GG\n  stoptimeout: 3s\nbackend: vmware\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.Run(t, "volume", "ls")
	if r.Code != 1 || r.Out != "" {
		t.Errorf("exit code %d, %q", r.Code, r.Out)
	}
	for _, key := range []string{"4GG", "stoptimeout", "vmware"} {
		if !strings.Contains(r.Err, key) {
			t.Errorf("no word of %s:\n%s", key, r.Err)
		}
	}
	for line := range strings.Lines(r.Err) {
		if !strings.HasPrefix(line, "linnet: ") && !strings.HasPrefix(line, "hint: ") {
			t.Errorf("the line %q", line)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := e.Must(t, "volume", "ls", "-q"); got != "data" {
		t.Errorf("volumes: %q", got)
	}
	if s := engineStatus(t, e); daemonNamed(t, s, "containerd").Restarts != 0 || strings.Count(logOf(t, e, "agent"), "agent starts") != 1 {
		t.Errorf("the engine was disturbed: %+v", s)
	}
}
