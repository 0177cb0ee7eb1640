//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Things that lie in the engine's folders and are not what they seem hinder nobody.
func TestStaleAndTornFiles(t *testing.T) {
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
		{"sockets that nobody listens on", func(t *testing.T) {
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
		// We keep none; whoever believes in one would take the first process for ours.
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
	const writable = "hint: set LINNET_HOME to a folder that you can write to\n"
	long := "/tmp/" + strings.Repeat("l", 90)
	for _, c := range []struct{ name, home, want string }{
		{"read-only", readOnly + "/home", "linnet: writing to " + readOnly + "/home: read-only file system\n" + writable},
		// The settings are read first.
		{"below a file", file + "/home", "linnet: reading ~/file/home/linnet.yaml: not a directory\nhint: its folder, or one above, is a file: move that away, or name another folder\n"},
		{"a file", file, "linnet: reading ~/file/linnet.yaml: not a directory\nhint: its folder, or one above, is a file: move that away, or name another folder\n"},
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
	full := "linnet: writing to " + e.Home + ": no space left on device\nhint: free some space there, or set LINNET_HOME to a folder on another disk\n"
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

// What is missing on the host is one line each with what to install, and nothing is written.
func TestMissingPrerequisites(t *testing.T) {
	e := lab.New(t)
	untouched := func(t *testing.T) {
		t.Helper()
		if _, err := os.Lstat(e.Home); !os.IsNotExist(err) {
			t.Errorf("the home was made (%v)", err)
		}
	}
	t.Run("components", func(t *testing.T) {
		empty := t.TempDir()
		e := &lab.Engine{Home: e.Home, User: e.User, Env: []string{"LINNET_LIBEXEC=" + empty}}
		want := "linnet: starting the engine: bin/nerdctl, bin/containerd, bin/containerd-shim-runc-v2, bin/runc, bin/buildkitd, bin/buildctl, " +
			"cni/bridge, cni/host-local, cni/portmap, cni/firewall, cni/tuning, cni/loopback not in " + empty + " (make deps)\n"
		if r := e.Run(t, "ps"); r.Code != 1 || r.Err != want {
			t.Errorf("exit code %d, %q, want %q", r.Code, r.Err, want)
		}
		untouched(t)
	})
	t.Run("iptables", func(t *testing.T) {
		// In a mount namespace where the program cannot be executed.
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c",
			`for f in /usr/sbin/iptables /sbin/iptables; do mount --bind /dev/null "$(readlink -f $f)"; done; exec "$0" ps`, lab.Linnet())
		cmd.Env = e.Environ()
		out, _ := cmd.CombinedOutput() // its exit code is looked at
		if want := "linnet: starting the engine: iptables is missing (apt install iptables)\n"; cmd.ProcessState.ExitCode() != 1 || string(out) != want {
			t.Errorf("exit code %d, %q, want %q", cmd.ProcessState.ExitCode(), out, want)
		}
		untouched(t)
	})
	t.Run("root", func(t *testing.T) {
		home, err := os.MkdirTemp("/tmp", "ln-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(home)
		// nobody need not be able to read the checkout.
		program := filepath.Join(home, "bin", "linnet")
		if err := errors.Join(os.Chmod(home, 0o755), os.Mkdir(filepath.Dir(program), 0o755), copyFile(lab.Linnet(), program), copyFile(lab.Linnet()+"-agent", program+"-agent")); err != nil {
			t.Fatal(err)
		}
		asNobody := func(linnetHome string) (int, string) {
			cmd := exec.Command(program, "ps")
			cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "LINNET_HOME=" + linnetHome, "LINNET_LIBEXEC=" + filepath.Join(home, "none"), "LINNET_BACKEND=native"}
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, _ := cmd.CombinedOutput() // its exit code is looked at
			return cmd.ProcessState.ExitCode(), string(out)
		}
		code, out := asNobody(filepath.Join(home, "theirs"))
		first, _, _ := strings.Cut(out, "\n")
		if want := "linnet: starting the engine: the native engine needs root (run it with sudo; a rootless engine is not there yet)"; code != 1 || first != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
		// At the door of an engine that is somebody else's.
		e.Must(t, "engine", "start")
		if err := errors.Join(os.Chmod(filepath.Dir(e.Home), 0o755), os.Chmod(e.Home, 0o755)); err != nil {
			t.Fatal(err)
		}
		code, out = asNobody(e.Home)
		want := "linnet: connecting to the agent: " + layoutOf(e).Socket("agent") + " belongs to another user\n" +
			"hint: run it as that user, or set LINNET_HOME to a folder of your own\n"
		if code != 1 || out != want {
			t.Errorf("exit code %d, %q, want %q", code, out, want)
		}
	})
}

// A daemon that does not stay up is named with its last words within seconds, and what it
// has is there when the cause is gone. Reset gets rid of everything even so.
func TestADaemonThatDoesNotStayUp(t *testing.T) {
	e := hasty(t)
	image := e.Busybox(t)
	port := freePort(t)
	e.Must(t, "volume", "create", "data")
	web := e.Must(t, "run", "-d", "--name", "web", "-p", "127.0.0.1:"+port+":80", image, "sh", "-c", "echo page > /index.html; exec httpd -f -p 80 -h /")
	page(t, port)
	before := possessions(t, e)
	database := filepath.Join(layoutOf(e).ContainerdRoot(), "io.containerd.metadata.v1.bolt", "meta.db")
	breakIt := func() {
		s := engineStatus(t, e)
		kill9(t, daemonNamed(t, s, "agent").PID, daemonNamed(t, s, "containerd").PID, daemonNamed(t, s, "buildkitd").PID)
		if err := errors.Join(os.Rename(database, database+".good"), os.WriteFile(database, bytes.Repeat([]byte("torn "), 10000), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	breakIt()
	begin := time.Now()
	r := e.Run(t, "ps")
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if r.Code != 1 || !strings.Contains(r.Err, "linnet: starting the engine: containerd does not stay up: exit status 1\nhint: its last words: ") ||
		!strings.HasSuffix(r.Err, "("+layoutOf(e).Log("containerd")+")\n") {
		t.Errorf("exit code %d, %q", r.Code, r.Err)
	}
	if s := engineStatus(t, e); s.State != "degraded" && s.State != "starting" {
		t.Errorf("the engine calls itself %s", s.State)
	}
	if err := os.Rename(database+".good", database); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "containerd to come back by itself", func() bool {
		s := engineStatus(t, e)
		return daemonNamed(t, s, "containerd").State == "running"
	})
	if after := possessions(t, e); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if got := page(t, port); got != "page\n" {
		t.Errorf("the page is %q", got)
	}

	breakIt()
	if r := e.Run(t, "engine", "reset", "--force"); r.Code != 0 {
		t.Errorf("reset: exit code %d\n%s", r.Code, r.Err)
	}
	nothingRuns(t, e)
	if left := rules(t, web, "--dport "+port+" "); left != "" {
		t.Errorf("rules of the published port are left:\n%s", left)
	}
	for _, path := range []string{e.Home, layoutOf(e).Volatile(), "/run/containerd/runc/default/" + web, "/sys/fs/cgroup/memory/default/" + web} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}

// Ctrl-C while a command waits for the engine ends the command at once, with the terminal as
// it was. The start goes on, and the next command finds it.
func TestCtrlCWhileTheEngineStarts(t *testing.T) {
	e := lab.New(t)
	// A containerd that takes its time.
	libexec := filepath.Join(filepath.Dir(e.Home), "libexec")
	if err := errors.Join(os.MkdirAll(filepath.Join(libexec, "bin"), 0o755), os.Symlink(layoutOf(e).CNI(), filepath.Join(libexec, "cni"))); err != nil {
		t.Fatal(err)
	}
	gate := filepath.Join(filepath.Dir(e.Home), "gate")
	programs, err := filepath.Glob(filepath.Join(layoutOf(e).BinDir(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		to := filepath.Join(libexec, "bin", filepath.Base(p))
		if filepath.Base(p) != "containerd" {
			err = os.Symlink(p, to)
		} else {
			script := fmt.Sprintf("#!/bin/sh\nwhile ! [ -e %s ]; do sleep 0.05; done\nexec -a \"$0\" %s \"$@\"\n", gate, p)
			script = strings.Replace(script, "#!/bin/sh", "#!/bin/bash", 1) // for exec -a
			err = os.WriteFile(to, []byte(script), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	e.Env = append(e.Env, "LINNET_LIBEXEC="+libexec)

	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := e.Command(ctx, "ps")
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	var mu sync.Mutex
	var seen []byte
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := terminal.Read(buf)
			mu.Lock()
			seen = append(seen, buf[:n]...)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the wait for containerd", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Contains(seen, []byte("starting containerd"))
	})
	begin := time.Now()
	if _, err := terminal.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is looked at
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !(status.Signaled() && status.Signal() == syscall.SIGINT) && status.ExitStatus() != 130 {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err == nil && *after != *before {
		t.Errorf("the terminal was %+v and is %+v", before, after)
	}
	mu.Lock()
	if hidden, shown := bytes.LastIndex(seen, []byte("\x1b[?25l")), bytes.LastIndex(seen, []byte("\x1b[?25h")); hidden > shown {
		t.Errorf("the cursor is hidden: %q", seen)
	}
	mu.Unlock()

	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "ps")
	if n := strings.Count(logOf(t, e, "agent"), "agent starts"); n != 1 {
		t.Errorf("the agent started %s times", strconv.Itoa(n))
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}
