//go:build e2e && linux

package vm_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/e2e/internal/scan"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
)

// TestACommandStartsNoProcess: into a machine that runs, a command is one process of this host,
// the client: neither it nor the relay forks. The relay is ended first, so that the first traced
// command starts the one that is watched, and proves that the tracer sees births. What the client and
// the relay cost is told.
func TestACommandStartsNoProcess(t *testing.T) {
	e := machine(t)
	image := e.Busybox(t)
	must(t, e, "ps")
	endRelay(t, e)
	t.Cleanup(func() { endRelay(t, e) }) // what follows has one that is not traced

	var x scan.Execs
	traced(t, e, &x, "ps")
	if forks := x.Forks(); len(forks) == 0 {
		t.Fatalf("the relay was started, and no birth was seen: %v", x.All())
	}
	relayPID := relayStatus(t, e).PID
	if !slices.Contains(x.Forks(), relayPID) {
		t.Fatalf("the relay, process %d, is none of those that were seen: %v", relayPID, x.Forks())
	}
	for _, args := range [][]string{
		{"ps"},
		{"ps", "--all", "--format", "json"},
		{"images"},
		{"version"},
		{"run", "--rm", "--network=none", image, "true"},
		{"run", "--rm", image, "true"},
		{"vm", "shell", "true"},
	} {
		execs, forks := len(x.All()), len(x.Forks())
		traced(t, e, &x, args...)
		if born := x.Forks()[forks:]; len(born) > 0 {
			t.Errorf("linnet %q: %d processes were started", args, len(born))
		}
		for _, run := range x.All()[execs:] {
			if !run.First {
				t.Errorf("linnet %q: process %d has become %q", args, run.PID, run.Argv)
			}
		}
	}
	if pid := relayStatus(t, e).PID; pid != relayPID {
		t.Errorf("the relay was process %d and is %d", relayPID, pid)
	}
	endRelay(t, e)
	cost(t, e)
}

// cost tells what linnet ps takes of this host's processors, in the client and in the relay.
func cost(t *testing.T, e *lab.Engine) {
	const times = 30
	must(t, e, "ps")
	pid := relayStatus(t, e).PID
	before := cpuTime(t, pid)
	var all time.Duration
	from := time.Now()
	for range times {
		cmd := e.Command(t.Context(), "ps")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		all += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	took, relayed := time.Since(from), cpuTime(t, pid)-before
	t.Logf("linnet ps: %.1f ms of CPU in the client, %.1f ms in the relay; %.0f ms in all (the mean of %d)",
		ms(all)/times, ms(relayed)/times, ms(took)/times, times)
	const most = 10
	if mean := ms(all+relayed) / times; mean > most {
		t.Logf("that is more than %d ms", most)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// cpuTime is what a process has used of the processors so far (proc_pid_stat(5): fields 14 and
// 15, in hundredths of a second).
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third on
	var ticks int
	for _, i := range []int{14, 15} {
		n, err := strconv.Atoi(fields[i-3])
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// traced runs a command that has to succeed, watched.
func traced(t *testing.T, e *lab.Engine, x *scan.Execs, args ...string) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out-")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(lab.Linnet(), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = e.Environ(), out, out
	code, err := x.Run(cmd)
	if err != nil || code != 0 {
		text, _ := os.ReadFile(out.Name()) // to be shown
		t.Fatalf("linnet %q: exit code %d, %v\n%s", args, code, err, text)
	}
}

func relaySocket(e *lab.Engine) string { return host.Layout{Home: e.Home}.VMSocket("relay") }

func relayStatus(t *testing.T, e *lab.Engine) relay.Status {
	t.Helper()
	s, err := relay.Query(t.Context(), relaySocket(e))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// endRelay ends the relay; the next command starts another.
func endRelay(t *testing.T, e *lab.Engine) {
	t.Helper()
	if err := relay.Stop(context.WithoutCancel(t.Context()), relaySocket(e)); err != nil {
		t.Error(err)
	}
}
