//go:build e2e && linux

package native_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// health is what inspect shows of a container's checks.
type health struct {
	Status        string
	FailingStreak int
	Log           []struct {
		Start, End time.Time
		ExitCode   int
		Output     string
	}
}

func healthOf(t testing.TB, e *lab.Engine, name string) (h health) {
	t.Helper()
	text := e.Must(t, "inspect", "--format", "{{json .State.Health}}", name)
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return h
}

func awaitStatus(t testing.TB, e *lab.Engine, name, status string) {
	t.Helper()
	lab.Eventually(t, name+" to be "+status, func() bool { return healthOf(t, e, name).Status == status })
}

// awaitChecks waits until two more checks of a container have ended.
func awaitChecks(t testing.TB, e *lab.Engine, name string) {
	t.Helper()
	seen := map[time.Time]bool{}
	for _, answer := range healthOf(t, e, name).Log {
		seen[answer.Start] = true
	}
	lab.Eventually(t, "more checks of "+name, func() bool {
		more := 0
		for _, answer := range healthOf(t, e, name).Log {
			if !seen[answer.Start] {
				more++
			}
		}
		return more >= 2
	})
}

func shownStatus(t testing.TB, e *lab.Engine, name string) string {
	t.Helper()
	return e.Must(t, "ps", "-a", "--filter", "name="+name, "--format", "{{.Status}}")
}

// A container's health is what its check says, from its start on, whatever of the engine is killed,
// and nothing is checked any more once it is gone.
func TestHealthChecksRun(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	begun := time.Now()
	e.Must(t, "run", "-d", "--name", "app", "--health-cmd", "echo asked; test -e /tmp/well", "--health-interval", "1s", "--health-retries", "2",
		image, "sh", "-c", "touch /tmp/well; exec sleep 1000")
	awaitStatus(t, e, "app", "healthy")
	if after := time.Since(begun); after > 30*time.Second {
		t.Errorf("with an interval of 1 s, the first check came after %v", after)
	}
	if got := shownStatus(t, e, "app"); !strings.HasSuffix(got, " (healthy)") {
		t.Errorf("ps shows %q", got)
	}
	for _, answer := range healthOf(t, e, "app").Log {
		if answer.ExitCode != 0 || answer.Output != "asked\n" {
			t.Errorf("an answer: %+v", answer)
		}
	}

	e.Must(t, "exec", "app", "rm", "/tmp/well")
	awaitStatus(t, e, "app", "unhealthy")
	if got := shownStatus(t, e, "app"); !strings.HasSuffix(got, " (unhealthy)") {
		t.Errorf("ps shows %q", got)
	}
	e.Must(t, "exec", "app", "touch", "/tmp/well")
	awaitStatus(t, e, "app", "healthy")

	for _, victims := range [][]string{{"agent"}, {"containerd"}, {"agent", "containerd"}} {
		s := engineStatus(t, e)
		var pids []int
		for _, v := range victims {
			pids = append(pids, daemonNamed(t, s, v).PID)
		}
		kill9(t, pids...)
		awaitChecks(t, e, "app")
	}

	e.Must(t, "pause", "app")
	e.Must(t, "unpause", "app")
	awaitChecks(t, e, "app")

	// After a stop its last health stays; a start begins anew.
	e.Must(t, "stop", "-t", "0", "app")
	noChecks(t, e)
	e.Must(t, "start", "app")
	awaitChecks(t, e, "app")
	awaitStatus(t, e, "app", "healthy")
	e.Must(t, "rm", "-f", "app")
	noChecks(t, e)
	if log := agentLog(t, e); strings.Contains(log, "checking its health") {
		t.Errorf("the agent complains:\n%s", log)
	}

	// Nor is anything left of a check that hangs when the engine is stopped.
	e.Must(t, "run", "-d", "--name", "hung", "--network=none", "--health-cmd", "sleep 1000", "--health-interval", "300ms", image, "sleep", "1000")
	lab.Eventually(t, "a check that hangs", func() bool { return checks(e) > 0 })
	e.Must(t, "engine", "stop")
	nothingRuns(t, e)
}

// A failure among many successes is no sickness.
func TestHealthForgetsAFailure(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	image := e.Busybox(t)
	e.Must(t, "run", "-d", "--name", "moody", "--health-cmd", "test ! -e /tmp/ill", "--health-interval", "300ms", "--health-retries", "2", image, "sleep", "1000")
	t.Cleanup(func() { e.Run(t, "rm", "-f", "moody") })
	awaitStatus(t, e, "moody", "healthy")
	e.Must(t, "exec", "moody", "touch", "/tmp/ill")
	lab.Eventually(t, "a failure", func() bool { return healthOf(t, e, "moody").FailingStreak > 0 })
	e.Must(t, "exec", "moody", "rm", "/tmp/ill")
	lab.Eventually(t, "the failure to be forgotten", func() bool { h := healthOf(t, e, "moody"); return h.FailingStreak == 0 && h.Status == "healthy" })
}

// A check that hangs ends after its timeout, and holds up no other.
func TestAHangingHealthCheck(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	image := e.Busybox(t)
	run := func(name string, flags ...string) {
		e.Must(t, append(append([]string{"run", "-d", "--name", name, "--network=none", "--health-interval", "300ms"}, flags...), image, "sleep", "1000")...)
		t.Cleanup(func() { e.Run(t, "rm", "-f", name) })
	}
	for _, name := range []string{"hung1", "hung2", "hung3", "hung4", "hung5"} {
		run(name, "--health-cmd", "sleep 1000", "--health-timeout", "1h")
	}
	run("late", "--health-cmd", "sleep 1000", "--health-timeout", "300ms", "--health-retries", "1")
	run("quick", "--health-cmd", "true")
	awaitStatus(t, e, "quick", "healthy")
	awaitChecks(t, e, "quick")
	awaitStatus(t, e, "late", "unhealthy")
	if answer := healthOf(t, e, "late").Log[0]; answer.ExitCode != -1 || !strings.Contains(answer.Output, "exceeded timeout") {
		t.Errorf("its answer: %+v", answer)
	}
}

// An image's own check runs, and compose's, and --no-healthcheck ends both.
func TestHealthChecksOfImagesAndCompose(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	image := e.Busybox(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Dockerfile": "FROM " + image + "\nHEALTHCHECK --interval=500ms --retries=1 CMD [\"/bin/test\", \"-e\", \"/tmp\"]\nCMD [\"sleep\", \"1000\"]\n",
		"compose.yaml": "services:\n  own:\n    image: checked\n    healthcheck:\n      test: [CMD-SHELL, \"exit 3\"]\n      interval: 500ms\n      retries: 1\n" +
			"  inherited:\n    image: checked\n  none:\n    image: checked\n    healthcheck:\n      disable: true\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e.Must(t, "build", "-q", "-t", "checked", dir)
	e.Must(t, "run", "-d", "--name", "built", "checked")
	t.Cleanup(func() { e.Run(t, "rm", "-f", "built") })
	awaitStatus(t, e, "built", "healthy")

	file := filepath.Join(dir, "compose.yaml")
	t.Cleanup(func() {
		e.Run(t, "rm", "-f", "ward-own-1", "ward-inherited-1", "ward-none-1") // they ignore their stop signal
		e.Run(t, "compose", "-p", "ward", "-f", file, "down")
	})
	e.Must(t, "compose", "-p", "ward", "-f", file, "up", "-d")
	awaitStatus(t, e, "ward-own-1", "unhealthy")
	awaitStatus(t, e, "ward-inherited-1", "healthy")
	if got := shownStatus(t, e, "ward-none-1"); got != "Up" {
		t.Errorf("the one without a check: ps shows %q", got)
	}
}

// noChecks waits until no check runs in the engine.
func noChecks(t testing.TB, e *lab.Engine) {
	t.Helper()
	lab.Eventually(t, "the last check to end", func() bool { return checks(e) == 0 })
}

// checks counts those that run.
func checks(e *lab.Engine) (n int) {
	for _, p := range processesOf(e) {
		if strings.Contains(p.cmdline, "container healthcheck") {
			n++
		}
	}
	return n
}

func agentLog(t testing.TB, e *lab.Engine) string {
	t.Helper()
	text, err := os.ReadFile(layoutOf(e).Log("agent"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
