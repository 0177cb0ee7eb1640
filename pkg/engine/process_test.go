//go:build linux

package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// foundPID is the number of the daemon with that command line, 0 when there is none.
func foundPID(argv []string) int {
	p, ok := findDaemon(argv)
	if !ok {
		return 0
	}
	defer p.Close()
	return p.PID
}

// startAs starts a program under a command line that may name another, until the test ends.
func startAs(t *testing.T, program string, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := &exec.Cmd{Path: program, Args: argv}
	_, err := cmd.StdinPipe() // nothing comes
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// copyProgram copies a program under another name.
func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestADaemonIsFoundByWhatItRuns(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	program := filepath.Join(dir, "sleep")
	copyProgram(t, "/bin/sleep", program)
	copyProgram(t, "/bin/sleep", filepath.Join(other, "sleep"))
	argv := []string{program, "1234.5"}

	// Another program, and one of that name from where everybody can put one.
	renamed, open := filepath.Join(other, "doze"), t.TempDir()
	copyProgram(t, "/bin/sleep", renamed)
	copyProgram(t, "/bin/sleep", filepath.Join(open, "sleep"))
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, it := range []string{renamed, filepath.Join(open, "sleep")} {
		impostor := startAs(t, it, argv...)
		eventually(t, "the impostor", func() bool { return host.Program(impostor.Process.Pid) == it })
		if pid := foundPID(argv); pid != 0 {
			t.Fatalf("%s under the same command line was found: %d", it, pid)
		}
		if err := endDaemon(argv, 0); err != nil || syscall.Kill(impostor.Process.Pid, 0) != nil {
			t.Errorf("%s was ended (%v)", it, err)
		}
	}

	ours := startAs(t, program, argv...)
	eventually(t, "its exec", func() bool { return foundPID(argv) == ours.Process.Pid })
	if foundPID(argv[:1]) != 0 || foundPID(append(argv[:2:2], "")) != 0 || foundPID([]string{program, "1234"}) != 0 || foundPID([]string{filepath.Join(dir, "sleeps"), "1234.5"}) != 0 {
		t.Error("part of a command line was enough")
	}
	// Another installation's, on the same home.
	if foundPID([]string{filepath.Join(other, "sleep"), "1234.5"}) != ours.Process.Pid {
		t.Error("another installation does not find it")
	}
	// An upgrade moves all that there was away, and back when it fails.
	for _, move := range [][2]string{{dir, dir + ".old"}, {dir + ".old", dir}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
		if foundPID(argv) != ours.Process.Pid {
			t.Errorf("in %s it is not found", move[1])
		}
	}
	// Or it replaces the program, or removes it.
	copyProgram(t, "/bin/sleep", program+".new")
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	if foundPID(argv) != ours.Process.Pid {
		t.Error("after an upgrade it is not found")
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if foundPID(argv) != ours.Process.Pid {
		t.Error("after the removal of its program it is not found")
	}
	moved := startAs(t, filepath.Join(other, "sleep"), filepath.Join(other, "sleep"), "5678.5")
	eventually(t, "its exec", func() bool { return foundPID(moved.Args) == moved.Process.Pid })
	if err := errors.Join(os.Rename(other, other+".old"), os.RemoveAll(other+".old")); err != nil {
		t.Fatal(err)
	}
	if foundPID(moved.Args) != moved.Process.Pid {
		t.Error("after the removal of what was moved away it is not found")
	}
	if err := ours.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Not collected yet, it counts as gone.
	eventually(t, "its end", func() bool { return foundPID(argv) == 0 })
}

// What other programs note beside it does not make the removal of a note fail.
func TestANoteGoesAndWhatIsBesideItStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "id")
	note, beside := filepath.Join(dir, "port-reserver.pid"), filepath.Join(dir, "other")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(note, nil, 0o600), os.WriteFile(beside, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{note, note, beside} {
		if err := removeNote(path); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty directory: %v", err)
	}
}

// A socket that a process listens on is not removed, and whose it is is told at once.
func TestALivingSocketStays(t *testing.T) {
	d := newFake(t, "good")
	listener, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	end := supervise(t, d)
	err = d.ready(t.Context())
	end()
	want := d.socket + ": another process listens there, which is not of this home's engine: " + d.argv[0] + " (process " + strconv.Itoa(os.Getpid()) + ")"
	var hinted *hint.Error
	if !errors.As(err, &hinted) || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if !host.Listens(d.socket) {
		t.Error("the socket is gone")
	}
}

func TestShimsAreTheirProgramToo(t *testing.T) {
	l := host.Layout{Home: t.TempDir()}
	program := filepath.Join(t.TempDir(), "containerd-shim-runc-v2")
	script := "read line" // it starts nothing, and so is never there twice
	copyProgram(t, "/bin/sh", program)
	words := []string{program, "-c", script, "-namespace", "default", "-id", "abc", "-address", socketOf(l, guest.Containerd)}
	startAs(t, "/bin/sh", words...)
	ours := startAs(t, program, words...)
	startAs(t, program, append(words[:len(words)-1:len(words)-1], "/run/containerd/containerd.sock")...)
	var held []host.Process
	eventually(t, "the shim", func() bool { held = shims(l); return len(held) > 0 })
	if len(held) != 1 || held[0].PID != ours.Process.Pid || shimOf(l, held[0].PID) != "abc" {
		t.Errorf("got %v, want process %d alone", held, ours.Process.Pid)
	}
	for _, err := range endAll(held, 10*time.Second) {
		if err != nil {
			t.Error(err)
		}
	}
	_ = ours.Wait() // its status is looked at
	if status, ok := ours.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended as %v", ours.ProcessState)
	}
}

func TestEndProcess(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         syscall.Signal
	}{
		{"one that listens", "echo ready; sleep 1000 & wait", syscall.SIGTERM},
		{"one that does not", "trap '' TERM; echo ready; while :; do sleep 0.05; done", syscall.SIGKILL},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", c.script)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }() // its sleep
			if _, err := out.Read(make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			p, ok := host.HoldProcess(cmd.Process.Pid, func(int) bool { return true })
			if !ok {
				t.Fatal("it is not there")
			}
			defer p.Close()
			if err := p.End(100 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its status is looked at
			if got := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != c.want {
				t.Errorf("ended by %v, want %v", got, c.want)
			}
			if err := p.End(0); err != nil {
				t.Errorf("one that is gone: %v", err)
			}
		})
	}
}
