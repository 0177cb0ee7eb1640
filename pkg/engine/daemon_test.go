//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// This test binary stands in for a daemon: `fake-daemon SOCKET KIND`.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "fake-daemon" {
		fakeDaemon(os.Args[2], os.Args[3])
		return
	}
	os.Exit(m.Run())
}

func fakeDaemon(socket, kind string) {
	fmt.Fprintln(os.Stderr, "fake daemon begins")
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	switch kind {
	case "dies":
		fmt.Fprintln(os.Stderr, "fake daemon cannot go on")
		os.Exit(3)
	case "mute":
	case "docker":
		fakeDocker(socket)
	default:
		if _, err := net.Listen("unix", socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for range asked {
		if kind != "deaf" {
			os.Exit(0)
		}
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s", what)
		}
	}
}

func newFake(t *testing.T, kind string) *daemon {
	t.Helper()
	home, err := os.MkdirTemp("", "ln-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	l := host.Layout{Home: home}
	if err := errors.Join(os.MkdirAll(l.Run(), 0o700), os.MkdirAll(filepath.Dir(l.Log("x")), 0o700)); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon("fake", []string{program, "fake-daemon", l.Socket("fake"), kind}, []string{"PATH=/bin"}, l, quiet(t))
	t.Cleanup(func() {
		if err := d.stop(context.WithoutCancel(t.Context()), time.Millisecond); err != nil {
			t.Error(err)
		}
		os.RemoveAll(home)
	})
	return d
}

// supervise runs d until the returned function is called.
func supervise(t *testing.T, d *daemon) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { d.run(ctx) })
	end = func() { cancel(); wg.Wait() }
	t.Cleanup(end)
	return end
}

func (d *daemon) snapshot() (state string, pid, restarts int, adopted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state, d.pid, d.restarts, d.adopted
}

func TestNextPause(t *testing.T) {
	var pause time.Duration
	var got []time.Duration
	for range 10 {
		pause = nextPause(pause, time.Second)
		got = append(got, pause)
	}
	ms := time.Millisecond
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, lastPause, lastPause, lastPause}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := nextPause(lastPause, steadyAfter+1); got != firstPause {
		t.Errorf("after a steady life: %v", got)
	}
}

func TestADaemonThatIsKilledIsStartedAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	d := newFake(t, "good")
	supervise(t, d)
	for restarts := range 5 { // more often than a daemon may fail in a row
		if err := d.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, pid, n, adopted := d.snapshot()
		if state != "running" || n != restarts || adopted {
			t.Errorf("state %s, restarts %d, adopted %v", state, n, adopted)
		}
		if restarts == 4 {
			break
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its end to be seen", func() bool { _, _, n, _ := d.snapshot(); return n == restarts+1 })
	}
}

func TestWhatRunsIsAdoptedAndOutlivesItsSupervisor(t *testing.T) {
	d := newFake(t, "good")
	end := supervise(t, d)
	if err := d.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first, _, _ := d.snapshot()
	end()
	if foundPID(d.argv) != first {
		t.Fatalf("process %d is gone with its supervisor", first)
	}
	next := newDaemon(d.name, d.argv, d.env, host.Layout{Home: filepath.Dir(filepath.Dir(filepath.Dir(d.socket)))}, quiet(t))
	end = supervise(t, next)
	if err := next.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, pid, restarts, adopted := next.snapshot(); pid != first || restarts != 0 || !adopted {
		t.Errorf("pid %d (want %d), restarts %d, adopted %v", pid, first, restarts, adopted)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another in its place", func() bool {
		state, pid, restarts, adopted := next.snapshot()
		return state == "running" && pid != first && restarts == 1 && !adopted
	})
	end()
}

func TestADaemonThatDoesNotStayUpSaysWhy(t *testing.T) {
	d := newFake(t, "dies")
	supervise(t, d)
	err := d.ready(t.Context())
	var hinted *hint.Error
	if !errors.As(err, &hinted) || err.Error() != "starting the engine: fake does not stay up: exit status 3" ||
		hinted.Fix != "its last words: fake daemon cannot go on ("+d.logs+")" {
		t.Errorf("got %v", err)
	}
}

func TestWaitingForADaemonEndsWithTheContext(t *testing.T) {
	d := newFake(t, "mute")
	supervise(t, d)
	eventually(t, "its start", func() bool { state, _, _, _ := d.snapshot(); return state == "starting" })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// One that has been mute for long is told of.
	d.set(func() { d.started = time.Now().Add(-answerLimit - time.Second) })
	eventually(t, "its first words", func() bool { return strings.HasPrefix(lastLine(d.logs), "fake") })
	if err := d.ready(t.Context()); err == nil || err.Error() != "starting the engine: fake runs, and does not answer" {
		t.Errorf("got %v", err)
	}
}

func TestStopEndsProcessAndSockets(t *testing.T) {
	for _, kind := range []string{"good", "deaf"} {
		t.Run(kind, func(t *testing.T) {
			d := newFake(t, kind)
			end := supervise(t, d)
			if err := d.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			end()
			if err := os.WriteFile(d.others[0], nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := d.stop(t.Context(), 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if pid := foundPID(d.argv); pid != 0 {
				t.Errorf("process %d is left", pid)
			}
			for _, path := range append(d.others, d.socket) {
				if _, err := os.Lstat(path); !os.IsNotExist(err) {
					t.Errorf("%s is left", path)
				}
			}
		})
	}
}

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) // as a daemon has it
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	contents := func() string {
		var out []string
		for _, file := range []string{path, path + ".1", path + ".2", path + ".3", path + ".next"} {
			if text, err := os.ReadFile(file); err == nil {
				out = append(out, filepath.Base(file)+"="+string(text))
			}
		}
		return strings.Join(out, " ")
	}
	for _, step := range []struct {
		add         string
		size, files int
		want        string
	}{
		{"aaaa", 5, 3, "log=aaaa"}, // not yet
		{"a", 5, 3, "log= log.1=aaaaa"},
		{"bbbbb", 5, 3, "log= log.1=bbbbb log.2=aaaaa"},
		{"ccccc", 5, 3, "log= log.1=ccccc log.2=bbbbb"},
		{"ddddd", 5, 4, "log= log.1=ddddd log.2=ccccc log.3=bbbbb"},
		{"eeeee", 5, 2, "log= log.1=eeeee"},
		{"fffff", 5, 1, "log="},
		{"g", 5, 1, "log=g"},
	} {
		if _, err := log.WriteString(step.add); err != nil {
			t.Fatal(err)
		}
		if err := rotate(path, int64(step.size), step.files); err != nil {
			t.Fatal(err)
		}
		if got := contents(); got != step.want {
			t.Errorf("after %q: %s, want %s", step.add, got, step.want)
		}
	}
	if err := rotate(filepath.Join(t.TempDir(), "absent"), 1, 3); err != nil {
		t.Errorf("no log: %v", err)
	}
}

// The engine looks at its logs again and again, not only when it starts.
func TestKeepHouseGoesOn(t *testing.T) {
	home := t.TempDir()
	e := &Engine{log: quiet(t)}
	e.spec.Layout = host.Layout{Home: home}
	e.spec.LogSize, e.spec.LogFiles = 5, 2
	path := e.spec.Layout.Log(guest.BuildKit.Daemon())
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { e.keepHouse(ctx, time.Millisecond) })
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the rotation", func() bool { got, _ := os.ReadFile(path + ".1"); return string(got) == text })
	}
	cancel()
	wg.Wait()
}
