package host_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

var path = []string{"PATH=/usr/bin:/bin"}

func sh(script string, args ...string) host.Command {
	return host.Command{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...), Env: path}
}

// run fails the test when Run reports an error, and returns the code and standard output.
func run(t *testing.T, c host.Command) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	code, err := host.Run(ctx, c)
	if err != nil {
		t.Fatalf("running %q: %v (output %q)", c.Argv, err, out.String())
	}
	return code, out.String()
}

func TestRunReportsWhyAProgramDidNotStart(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cmd  host.Command
		code int
		is   error
	}{
		{"not in PATH", host.Command{Argv: []string{"nosuchprogram"}, Env: path}, 127, fs.ErrNotExist},
		{"no such path", host.Command{Argv: []string{dir + "/nosuch"}}, 127, fs.ErrNotExist},
		{"not executable", host.Command{Argv: []string{plain}}, 126, fs.ErrPermission},
		{"not executable in PATH", host.Command{Argv: []string{"plain"}, Env: []string{"PATH=" + dir}}, 126, fs.ErrPermission},
		{"no such directory", host.Command{Argv: []string{"/bin/sh"}, Dir: dir + "/nosuch"}, 126, fs.ErrNotExist},
		{"empty name", host.Command{Argv: []string{""}}, 127, fs.ErrNotExist},
		{"a directory", host.Command{Argv: []string{dir}}, 126, fs.ErrPermission},
		{"a NUL in an argument", host.Command{Argv: []string{"/bin/sh", "\x00"}}, 126, syscall.EINVAL},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, err := host.Run(t.Context(), c.cmd)
			if code != c.code || !errors.Is(err, c.is) {
				t.Errorf("code %d, error %v; want %d and %v", code, err, c.code, c.is)
			}
		})
	}
}

func TestRunLooksUpInTheGivenPathOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte("#!/bin/sh\necho found\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "/nonexistent")
	if code, out := run(t, host.Command{Argv: []string{"here"}, Env: []string{"PATH=" + dir}}); code != 0 || out != "found\n" {
		t.Errorf("code %d, output %q", code, out)
	}
}

func TestRunGivesNothingOfOurEnvironment(t *testing.T) {
	t.Setenv("LINNET_TEST_LEAK", "x")
	_, out := run(t, host.Command{Argv: []string{"/usr/bin/env"}, Env: []string{"A=1"}})
	if out != "A=1\n" {
		t.Errorf("environment %q", out)
	}
	if _, out := run(t, host.Command{Argv: []string{"/usr/bin/env"}}); out != "" {
		t.Errorf("empty environment is %q", out)
	}
}

func TestRunKeepsOrderForOneWriter(t *testing.T) {
	var both bytes.Buffer
	c := sh("for i in 1 2 3; do echo out$i; echo err$i >&2; done")
	c.Stdout, c.Stderr = &both, &both
	run(t, c)
	if both.String() != "out1\nerr1\nout2\nerr2\nout3\nerr3\n" {
		t.Errorf("got %q", both.String())
	}
}

func TestRunDoesNotWaitForAnIdleReaderOrABackgroundProcess(t *testing.T) {
	idle, typist := io.Pipe()
	defer func() { _ = typist.Close() }()
	c := sh("head -c 60000 /dev/zero; sleep 60 & echo $!")
	c.Stdin = idle
	begin := time.Now()
	_, out := run(t, c)
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimLeft(out, "\x00")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if n := strings.Count(out, "\x00"); n != 60000 {
		t.Errorf("got %d of 60000 bytes", n)
	}
	if time.Since(begin) > 20*time.Second {
		t.Error("waited for the background process")
	}
}

func TestRunDeliversEverythingToASlowWriter(t *testing.T) {
	read, write := io.Pipe()
	got := make(chan int, 1)
	go func() {
		n, small := 0, make([]byte, 1000)
		for {
			m, err := read.Read(small)
			n += m
			if err != nil {
				got <- n
				return
			}
		}
	}()
	c := sh("head -c 300000 /dev/zero")
	c.Stdout = write
	run(t, c)
	_ = write.Close()
	if n := <-got; n != 300000 {
		t.Errorf("got %d of 300000 bytes", n)
	}
}

func TestRunHandsPlainFilesOver(t *testing.T) {
	dir := t.TempDir()
	in, err := os.Create(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.WriteString("one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	c := sh("head -c 4")
	c.Stdin = in
	if _, out := run(t, c); out != "one\n" {
		t.Errorf("got %q", out)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "two\n" {
		t.Errorf("what the process left is %q; it was read ahead", rest)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestRunReportsBrokenStreams(t *testing.T) {
	broken := errors.New("broken")
	c := sh("cat")
	c.Stdin = failing{broken}
	if _, err := host.Run(t.Context(), c); !errors.Is(err, broken) {
		t.Errorf("standard input: %v", err)
	}
	c = sh("yes")
	c.Stdout = failing{broken}
	if code, err := host.Run(t.Context(), c); !errors.Is(err, broken) || code != 128+int(syscall.SIGPIPE) {
		t.Errorf("standard output: code %d, %v", code, err)
	}
	c = sh("yes >&2")
	c.Stderr = failing{syscall.EPIPE}
	if code, err := host.Run(t.Context(), c); err != nil || code != 128+int(syscall.SIGPIPE) {
		t.Errorf("a reader that has gone: code %d, %v", code, err)
	}
}

func TestRunEndsAForegroundJobOfAnotherGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// An interactive shell ignores SIGTERM and gives each job a group of its own.
	read, write := io.Pipe()
	c := host.Command{
		Argv: []string{"/bin/sh", "-i"}, Env: append([]string{"PS1="}, path...), Grace: 200 * time.Millisecond,
		Stdin: strings.NewReader("sh -c 'echo pid=$$.; trap \"\" TERM; exec sleep 60'\n"), Stdout: write,
		Terminal: &host.Terminal{},
	}
	pids := make(chan int, 1)
	go func() {
		var seen []byte
		buf := make([]byte, 256)
		for {
			n, err := read.Read(buf)
			if err != nil {
				return
			}
			seen = append(seen, buf[:n]...)
			_, rest, _ := strings.Cut(string(seen), "\npid=")
			if digits, _, ok := strings.Cut(rest, "."); ok {
				pid, _ := strconv.Atoi(digits)
				select {
				case pids <- pid:
				default:
				}
			}
		}
	}()
	ended := make(chan error, 1)
	go func() {
		_, err := host.Run(ctx, c)
		ended <- err
	}()
	pid := <-pids
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	gone(t, pid)
}

// gone waits until pid is no process any more, or one that only its parent has to collect.
func gone(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d is still there", pid)
		}
	}
}

func TestRunTellsATerminalThatItsInputEnded(t *testing.T) {
	for _, in := range []string{"", "whole line\n", "partial line"} {
		c := sh("n=$(cat | wc -c); echo; echo $n.") // after what was echoed
		c.Stdin, c.Terminal = strings.NewReader(in), &host.Terminal{}
		code, out := run(t, c)
		if code != 0 || !strings.HasSuffix(out, "\r\n"+strconv.Itoa(len(in))+".\r\n") {
			t.Errorf("input %q: code %d, output %q", in, code, out)
		}
	}
}

func TestRunKeepsTheEndOfATerminalsOutput(t *testing.T) {
	c := sh("(trap '' HUP; sleep 60) & echo $!; seq 1 5000")
	c.Terminal = &host.Terminal{}
	_, out := run(t, c)
	lines := strings.Fields(out)
	if len(lines) != 5001 || lines[5000] != "5000" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	if pid, err := strconv.Atoi(lines[0]); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// leaver is a writer whose reader leaves once it has read something.
type leaver struct {
	once sync.Once
	left chan struct{}
}

func (l *leaver) Left() <-chan struct{} { return l.left }

func (l *leaver) Write(p []byte) (int, error) {
	l.once.Do(func() { close(l.left) })
	return len(p), nil
}

func TestRunBreaksThePipeOfAReaderThatLeft(t *testing.T) {
	c := sh("while :; do echo out; done")
	c.Stdout = &leaver{left: make(chan struct{})}
	if code, err := host.Run(t.Context(), c); code != 128+int(syscall.SIGPIPE) || err != nil {
		t.Errorf("code %d, error %v", code, err)
	}
}
