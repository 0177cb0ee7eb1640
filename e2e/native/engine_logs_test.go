//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

func TestRestartAndLogs(t *testing.T) {
	e := lab.New(t)
	e.Must(t, "engine", "start")
	before := engineStatus(t, e)
	e.Must(t, "vm", "restart")
	after := engineStatus(t, e)
	for _, name := range []string{"agent", "containerd", "buildkitd"} {
		b, a := daemonNamed(t, before, name), daemonNamed(t, after, name)
		if a.State != "running" || b.PID == a.PID || a.Adopted || a.Restarts != 0 {
			t.Errorf("%s: before %+v, after %+v", name, b, a)
		}
	}
	all := e.Must(t, "engine", "logs")
	for _, prefix := range []string{"agent | ", "containerd | ", "buildkitd | "} {
		if !strings.Contains(all, "\n"+prefix) && !strings.HasPrefix(all, prefix) {
			t.Errorf("no line begins with %q", prefix)
		}
	}
	one := e.Must(t, "engine", "logs", "agent")
	if strings.Count(one, "agent starts") != 2 || strings.Contains(one, "agent | ") {
		t.Errorf("the agent's log:\n%s", one)
	}
	tail := e.Must(t, "engine", "logs", "--tail", "2", "agent")
	if lines := strings.Split(one, "\n"); tail != strings.Join(lines[len(lines)-2:], "\n") {
		t.Errorf("--tail 2 shows %q", tail)
	}
	if r := e.Run(t, "engine", "logs", "nonesuch"); r.Code != 2 || r.Err != "linnet: engine logs: there is no log \"nonesuch\"\nhint: one of agent, containerd, buildkitd, dockerd\n" {
		t.Errorf("an unknown log: exit code %d, %q", r.Code, r.Err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	follow := e.Command(ctx, "engine", "logs", "-f", "-n", "0", "agent")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	follow.Stdout = out
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// What is written before the follower has looked for the first time is not for it.
	lab.Eventually(t, "a line that is added", func() bool {
		appendTo(t, layoutOf(e).Log("agent"), "a line of the test\n")
		return strings.Contains(shown(), "a line of the test\n")
	})
	if err := follow.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("Ctrl-C during logs -f: %v", err)
	}
}

// A log that has grown over its size is rotated when an agent starts, and the daemon that
// was running all along writes on.
func TestLogsAreRotatedUnderARunningDaemon(t *testing.T) {
	e := lab.New(t)
	if err := os.MkdirAll(e.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.Home, "linnet.yaml"), []byte("engine:\n  logSize: 64KiB\n  logFiles: 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "engine", "start")
	path := layoutOf(e).Log("buildkitd")
	for round := range 3 {
		mark := fmt.Sprintf("round %d\n", round)
		appendTo(t, path, mark+strings.Repeat("x", 64<<10)+"\n")
		kill9(t, daemonNamed(t, engineStatus(t, e), "agent").PID)
		e.Must(t, "ps")
		lab.Eventually(t, "the rotation", func() bool {
			text, err := os.ReadFile(path + ".1")
			return err == nil && bytes.Contains(text, []byte(mark))
		})
	}
	lab.Eventually(t, "the log to be small", func() bool { info, err := os.Stat(path); return err == nil && info.Size() < 64<<10 })
	if found, _ := filepath.Glob(path + ".*"); len(found) != 1 {
		t.Errorf("with logFiles: 2 there are, beside the log, %v", found)
	}
	d := daemonNamed(t, engineStatus(t, e), "buildkitd")
	if !d.Adopted || d.Restarts != 0 {
		t.Errorf("buildkitd: %+v", d)
	}
	// buildkitd says a word when it is asked to end.
	e.Must(t, "engine", "stop")
	if text := logOf(t, e, "buildkitd"); text == "" || strings.ContainsRune(text, 0) {
		t.Errorf("after the rotation the log is %q", text)
	}
}
