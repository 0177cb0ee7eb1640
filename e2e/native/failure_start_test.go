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
		// The user nobody need not be able to read the checkout.
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
		// At the door of an engine that is another user's.
		e.Must(t, "engine", "start")
		if err := errors.Join(os.Chmod(filepath.Dir(e.Home), 0o755), os.Chmod(e.Home, 0o755)); err != nil {
			t.Fatal(err)
		}
		code, out = asNobody(e.Home)
		want := "linnet: connecting to the agent: " + layoutOf(e).Socket("agent") + " belongs to another user\n" +
			"hint: run it as that user, or set LINNET_HOME to a directory of your own\n"
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
