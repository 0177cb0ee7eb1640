//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// gate is where a step of a build waits until the test lets it go on.
type gate struct {
	t        *testing.T
	listener net.Listener
}

func newGate(t *testing.T) gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return gate{t, l}
}

// step waits at the gate; the build needs --allow network.host for it.
func (g gate) step() string {
	return "RUN --network=host nc 127.0.0.1 " + itoa(g.listener.Addr().(*net.TCPAddr).Port) + " </dev/null\n"
}

// reached waits until a step is there, and returns what lets it go on.
func (g gate) reached() (open func()) {
	g.t.Helper()
	if err := g.listener.(*net.TCPListener).SetDeadline(time.Now().Add(lab.Timeout)); err != nil {
		g.t.Fatal(err)
	}
	conn, err := g.listener.Accept()
	if err != nil {
		g.t.Fatalf("waiting for a step to run: %v", err)
	}
	g.t.Cleanup(func() { conn.Close() })
	return func() { conn.Close() }
}

// project is a build context of a Dockerfile alone.
func project(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// begun is a command that runs beside the test.
type begun struct {
	cmd *exec.Cmd
	out bytes.Buffer
	end chan error
}

func begin(t *testing.T, cmd *exec.Cmd) *begun {
	t.Helper()
	b := &begun{cmd: cmd, end: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = &b.out, &b.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.end <- cmd.Wait() }()
	return b
}

// wait returns the exit code and what was said.
func (b *begun) wait(t *testing.T) (code int, said string) {
	t.Helper()
	select {
	case err := <-b.end:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
	case <-time.After(lab.Timeout):
		t.Fatalf("%q did not end", b.cmd.Args)
	}
	return b.cmd.ProcessState.ExitCode(), b.out.String()
}

// A build that runs is no container: what lists containers does not show it, and what ends or
// removes all that is listed, or all that has stopped, does not touch it.
func TestABuildIsNoContainer(t *testing.T) {
	e := lab.Shared(t)
	base, g := e.Busybox(t), newGate(t)
	e.Must(t, "run", "-d", "--name", "mine", "--network=none", base, "sleep", "infinity")
	t.Cleanup(func() { e.Run(t, "rm", "-f", "mine") })
	b := begin(t, e.Command(t.Context(), "build", "--progress=plain", "--no-cache", "--allow", "network.host", "-t", "shy",
		project(t, "FROM "+base+"\n"+g.step()+strings.Repeat("RUN true\n", 12))))
	open := g.reached()
	step := strings.TrimSpace(strings.ReplaceAll(steps(t, e), containerID(t, e, "mine"), ""))
	if step == "" {
		t.Fatal("the step is no container, so that this test says nothing")
	}
	for _, args := range [][]string{
		{"ps", "-q", "--no-trunc"},
		{"ps", "-aq", "--no-trunc"},
		{"ps", "-aq", "--no-trunc", "-f", "status=running"},
		{"ps", "-q", "--no-trunc", "-n", "1"},
		{"container", "ls", "-q", "--no-trunc", "--latest"},
	} {
		if got, want := e.Must(t, args...), containerID(t, e, "mine"); got != want {
			t.Errorf("%q: %q, want only %q", args, got, want)
		}
	}
	e.Must(t, append([]string{"stop", "-t", "0"}, strings.Fields(e.Must(t, "ps", "-q"))...)...)
	if out := e.Must(t, "container", "prune", "--force"); !strings.HasPrefix(out, "Deleted Containers:\n") || strings.Contains(out, step) {
		t.Errorf("container prune: %q", out)
	}
	if left := e.Must(t, "ps", "-aq"); left != "" {
		t.Errorf("left: %q", left)
	}
	open()
	// A step that has just ended is still there for a moment, as stopped.
	pruned := 0
	for len(b.end) == 0 {
		args := []string{"container", "prune", "--force"}
		if pruned%4 == 3 {
			args[0] = "system"
		}
		if r := e.Run(t, args...); r.Code != 0 || strings.Contains(r.Out, "Deleted Containers") || strings.Contains(r.Err, "level=") {
			t.Errorf("%q: exit code %d, %q\n%s", args, r.Code, r.Out, r.Err)
		}
		pruned++
	}
	if code, said := b.wait(t); code != 0 {
		t.Errorf("the build: exit code %d, after %d prunes\n%s", code, pruned, said)
	}
}

func containerID(t *testing.T, e *lab.Engine, name string) string {
	t.Helper()
	return e.Must(t, "inspect", "--format", "{{.ID}}", name)
}

// buildkitd is killed in mid-build: the build says what happened, the next one works, and
// the step that was running ends.
func TestBuildkitKilledInMidBuild(t *testing.T) {
	e := lab.Shared(t)
	base, g := e.Busybox(t), newGate(t)
	dir := project(t, "FROM "+base+"\nRUN echo one >/one\n"+g.step())
	args := []string{"build", "--progress=plain", "--allow", "network.host", "-t", "killed", dir}
	b := begin(t, e.Command(t.Context(), args...))
	g.reached()
	kill9(t, daemonNamed(t, engineStatus(t, e), "buildkitd").PID)
	killed := time.Now()
	code, said := b.wait(t)
	const want = "linnet: building: the connection to BuildKit was lost\n" +
		"hint: build again: what was done is cached; linnet engine logs buildkitd says what happened\n"
	if code != 1 || !strings.HasSuffix(said, want) {
		t.Errorf("exit code %d\n%s\nwant\n%s", code, said, want)
	}
	if took := time.Since(killed); took > 2*time.Second {
		t.Errorf("it took %v to notice", took)
	}
	b = begin(t, e.Command(t.Context(), args...))
	g.reached()()
	code, said = b.wait(t)
	if code != 0 || !strings.Contains(said, "CACHED") {
		t.Errorf("the next build: exit code %d\n%s", code, said)
	}
	lab.Eventually(t, "the killed build's step to end", func() bool { return steps(t, e) == "" })
}

// Ctrl-C where the other side does not answer: a BuildKit that hangs, a registry that sends
// nothing, and a step in a build that is shown on a terminal.
func TestAnInterruptedBuildThatWaits(t *testing.T) {
	e := lab.Shared(t)
	base, registry, g := e.Busybox(t), newSlowRegistry(t), newGate(t)
	for _, c := range []struct {
		name, dockerfile string
		signal           os.Signal
		tty              bool
		// before is done first, and reached waits until the phase is reached.
		before, reached, after func(b *watched)
	}{
		{
			name: "connecting", dockerfile: "FROM scratch\nLABEL a=b\n", signal: syscall.SIGINT,
			before: func(*watched) { signalDaemon(t, e, syscall.SIGSTOP) },
			reached: func(w *watched) {
				lab.Eventually(t, "a connection", func() bool { return sleepsOnEngine(w.cmd.Process.Pid) })
			},
			after: func(*watched) { signalDaemon(t, e, syscall.SIGCONT) },
		},
		{
			name: "pulling", dockerfile: "FROM " + registry.address + "/slow:1 AS slow\nFROM scratch\nCOPY --from=slow / /\n", signal: syscall.SIGINT,
			reached: func(w *watched) {
				lab.Eventually(t, "the registry to be asked", func() bool { return registry.stalled() > 0 || w.ended() })
			},
		},
		{name: "running, SIGTERM", dockerfile: "FROM " + base + "\n" + g.step(), signal: syscall.SIGTERM, reached: func(*watched) { g.reached() }},
		{name: "running, SIGKILL", dockerfile: "FROM " + base + "\n" + g.step(), signal: syscall.SIGKILL, reached: func(*watched) { g.reached() }},
		{name: "running, SIGHUP", dockerfile: "FROM " + base + "\n" + g.step(), signal: syscall.SIGHUP, reached: func(*watched) { g.reached() }},
		{name: "running, on a terminal", dockerfile: "FROM " + base + "\n" + g.step(), tty: true, reached: func(*watched) { g.reached() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			images := e.Must(t, "images", "-aq")
			dir := project(t, c.dockerfile)
			if c.before != nil {
				c.before(nil)
			}
			w := startWatched(t, e.Command(t.Context(), "build", "--no-cache", "--allow", "network.host", "-t", "waiting", dir), c.tty)
			c.reached(w)
			if w.ended() {
				t.Fatalf("it ended by itself\n%s", w.text())
			}
			start := time.Now()
			want := 130
			if c.tty {
				if _, err := w.terminal.Write([]byte{3}); err != nil {
					t.Fatal(err)
				}
			} else {
				if err := w.cmd.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
				want = 128 + int(c.signal.(syscall.Signal))
			}
			code := w.wait(t)
			took := time.Since(start)
			if c.after != nil {
				c.after(w)
			}
			if code != want || took > 2*time.Second || !w.unchanged(t) {
				t.Errorf("exit code %d, want %d, after %v; the terminal is as it was: %v\n%s", code, want, took, w.unchanged(t), w.text())
			}
			if strings.Contains(w.text(), "linnet: ") {
				t.Errorf("it complains: %s", w.text())
			}
			lab.Eventually(t, "the step to end", func() bool { return steps(t, e) == "" })
			if got := e.Must(t, "images", "-aq"); got != images {
				t.Errorf("the images are\n%s\nand were\n%s", got, images)
			}
			lab.Eventually(t, "the leases to be gone", func() bool { return held(t, e) == "" })
		})
	}
}

// held are the leases of what is under way. What BuildKit has learned of an image it keeps for
// five minutes, after each build; that expires by itself, and views belong to the cache.
func held(t *testing.T, e *lab.Engine) (ids string) {
	t.Helper()
	for line := range strings.Lines(ctr(t, e, "leases", "ls")) {
		if id := strings.Fields(line)[0]; strings.Contains(line, "temporary") && !strings.Contains(line, "gc.expire=") && !strings.HasSuffix(id, "-view") {
			ids += id + " "
		}
	}
	return ids
}

// signalDaemon sends buildkitd a signal.
func signalDaemon(t *testing.T, e *lab.Engine, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(daemonNamed(t, engineStatus(t, e), "buildkitd").PID, s); err != nil {
		t.Fatal(err)
	}
}

// Ctrl-C while a result is written to a file leaves no piece of it under its name, and what was
// there before stays.
func TestAnInterruptedExportLeavesNoFile(t *testing.T) {
	e := lab.Shared(t)
	dir := project(t, "FROM "+e.Busybox(t)+"\nRUN head -c 100000000 /dev/urandom >/large\n")
	e.Must(t, "build", "-q", "--output", "type=cacheonly", dir)
	for _, kind := range []string{"oci", "docker", "tar"} {
		for _, existing := range []string{"", "what was there before"} {
			t.Run(fmt.Sprintf("%s over %q", kind, existing), func(t *testing.T) {
				out := t.TempDir()
				file := filepath.Join(out, "result.tar")
				if existing != "" {
					if err := os.WriteFile(file, []byte(existing), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
				defer cancel()
				w := startWatched(t, e.Command(ctx, "build", "--progress=plain", "--output", "type="+kind+",dest="+file, dir), false)
				lab.Eventually(t, "something to be written", func() bool { return w.ended() || largest(out) > 1<<20 })
				if w.ended() {
					t.Fatalf("it ended by itself\n%s", w.text())
				}
				if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				if code := w.wait(t); code != 130 {
					t.Errorf("exit code %d\n%s", code, w.text())
				}
				got, err := os.ReadFile(file)
				switch {
				case existing == "" && !errors.Is(err, os.ErrNotExist):
					t.Errorf("there is a file of %d bytes, %v", len(got), err)
				case existing != "" && string(got) != existing:
					t.Errorf("the file now has %d bytes, %v", len(got), err)
				}
				if left, _ := os.ReadDir(out); len(left) > 1 || existing == "" && len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

// largest is the size of the largest file in a directory.
func largest(dir string) (size int64) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			size = max(size, info.Size())
		}
	}
	return size
}
