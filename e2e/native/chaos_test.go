//go:build e2e && linux

package native_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Whatever of the engine is killed: the next command works, nothing is lost, and a running
// container does not notice.
func TestKilledDaemons(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	e.Must(t, "volume", "create", "data")
	port := freePort(t)
	e.Must(t, "run", "-d", "--name", "counter", "-v", "data:/data", "-p", "127.0.0.1:"+port+":80", image, "sh", "-c",
		"httpd -p 80 -h /data; i=0; while :; do i=$((i+1)); echo $i > /data/next; mv /data/next /data/index.html; sleep 0.05; done")
	e.Must(t, "run", "--name", "ended", "--network=none", image, "true")
	page(t, port)

	for _, c := range []struct {
		name     string
		victims  []string
		restarts string // of containerd, buildkitd, as the agent counts them afterwards
		adopted  string
	}{
		// A new containerd gets a new buildkitd, whose connection would be broken.
		{"containerd", []string{"containerd"}, "1 1", "false false"},
		{"buildkitd", []string{"buildkitd"}, "1 2", "false false"},
		{"agent", []string{"agent"}, "0 0", "true true"},
		{"agent and containerd", []string{"agent", "containerd"}, "0 0", "false false"},
		{"all of them", []string{"agent", "containerd", "buildkitd"}, "0 0", "false false"},
		// Often in a row is not the same as not staying up.
		{"containerd again", []string{"containerd"}, "1 1", "false false"},
		{"containerd a third time", []string{"containerd"}, "2 2", "false false"},
		{"containerd a fourth time", []string{"containerd"}, "3 3", "false false"},
		{"containerd a fifth time", []string{"containerd"}, "4 4", "false false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, counter := possessions(t, e), containerProcess(t, e, "counter")
			count, err := strconv.Atoi(strings.TrimSpace(page(t, port)))
			if err != nil {
				t.Fatal(err)
			}
			s := engineStatus(t, e)
			var pids []int
			for _, v := range c.victims {
				pids = append(pids, daemonNamed(t, s, v).PID)
			}
			kill9(t, pids...)

			if r := e.Run(t, "ps", "--format", "{{.Names}}"); r.Code != 0 || r.Out != "counter\n" {
				t.Fatalf("the next command: exit code %d, %q\n%s", r.Code, r.Out, r.Err)
			}
			if after := possessions(t, e); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if after := containerProcess(t, e, "counter"); after != counter {
				t.Errorf("the container was %s and is %s", counter, after)
			}
			lab.Eventually(t, "the counter to go on", func() bool {
				n, err := strconv.Atoi(strings.TrimSpace(page(t, port)))
				return err == nil && n > count
			})
			lab.Eventually(t, "the engine to be well", func() bool { return engineStatus(t, e).State == "running" })
			s = engineStatus(t, e)
			cd, bk := daemonNamed(t, s, "containerd"), daemonNamed(t, s, "buildkitd")
			if got := fmt.Sprint(cd.Restarts, bk.Restarts); got != c.restarts {
				t.Errorf("restarts %s, want %s", got, c.restarts)
			}
			if got := fmt.Sprint(cd.Adopted, bk.Adopted); got != c.adopted {
				t.Errorf("adopted %s, want %s", got, c.adopted)
			}
			// All of the engine works, not just lists.
			if got := e.Must(t, "exec", "counter", "echo", "here"); got != "here" {
				t.Errorf("exec: %q", got)
			}
			e.Must(t, "build", "-q", "-t", "after", buildContext(t, image, c.name))
			e.Must(t, "rmi", "after")
		})
	}
	e.Must(t, "stop", "-t", "0", "counter")
	if left := rules(t, "--dport "+port+" "); left != "" {
		t.Errorf("rules of the published port are left:\n%s", left)
	}
}

// An agent that dies while it stops the engine leaves a containerd that starts nothing
// again. The next command puts that right, and so does another stop.
func TestAgentKilledWhileItStops(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	for _, next := range [][]string{{"ps", "-q"}, {"engine", "stop", "-t", "0s"}} {
		t.Run(strings.Join(next, " "), func(t *testing.T) {
			e.Must(t, "run", "-d", "--name", "deaf", "--restart", "always", image, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
			agent := daemonNamed(t, engineStatus(t, e), "agent").PID
			ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
			defer cancel()
			stop := e.Command(ctx, "engine", "stop", "-t", "60s")
			if err := stop.Start(); err != nil {
				t.Fatal(err)
			}
			lab.Eventually(t, "the draining containerd", func() bool {
				return slices.ContainsFunc(processesOf(e), func(p proc) bool { return strings.Contains(p.cmdline, "/etc/containerd-drain.toml") })
			})
			// It has connected by then, or never will: both must end well.
			_ = stop.Process.Kill()
			_ = stop.Wait()
			kill9(t, agent)
			if r := e.Run(t, next...); r.Code != 0 {
				t.Fatalf("exit code %d\n%s", r.Code, r.Err)
			}
			if next[0] == "engine" {
				nothingRuns(t, e)
			}
			e.Must(t, "rm", "-f", "deaf")
		})
	}
}

// After a power cut everything in memory is gone and everything on disk is as it happened to
// be: the engine starts, containers are there and start again, with their addresses.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	e.Must(t, "volume", "create", "data")
	port := freePort(t)
	e.Must(t, "run", "-d", "--name", "web", "-v", "data:/data", "-p", "127.0.0.1:"+port+":80", image, "sh", "-c", "echo page > /data/index.html; exec httpd -f -p 80 -h /data")
	e.Must(t, "run", "-d", "--name", "back", "--restart", "always", image, "sleep", "1000")
	page(t, port)
	before := possessions(t, e)

	init := []int{containerPID(t, e, "web"), containerPID(t, e, "back")}
	var pids []int
	for _, p := range processesOf(e) {
		pids = append(pids, p.pid)
	}
	kill9(t, append(pids, init...)...)
	unmountAll(t, layoutOf(e).Volatile())
	if err := os.RemoveAll(layoutOf(e).Volatile()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "back"} { // runc's memory
		id := strings.Fields(before)[slices.Index(strings.Fields(before), name)-1]
		if err := os.RemoveAll("/run/containerd/runc/default/" + id); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "ip", "link", "del", "linnet-"+layoutOf(e).ID())

	if after := possessions(t, e); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	lab.Eventually(t, "the container that always restarts", func() bool {
		return slices.Contains(strings.Fields(e.Must(t, "ps", "--format", "{{.Names}}")), "back")
	})
	e.Must(t, "start", "web")
	if got := page(t, port); got != "page\n" {
		t.Errorf("the page is %q", got)
	}
}

// A command that comes while the engine is being stopped gets an engine: the one that ends,
// or a new one.
func TestCommandsWhileTheEngineStops(t *testing.T) {
	e := lab.New(t)
	e.Must(t, "volume", "create", "data")
	for range 6 {
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		wg.Go(func() {
			if out, err := e.Command(ctx, "engine", "stop").CombinedOutput(); err != nil {
				t.Errorf("engine stop: %v\n%s", err, out)
			}
		})
		for range 4 {
			wg.Go(func() {
				if out, err := e.Command(ctx, "engine", "start").CombinedOutput(); err != nil {
					t.Errorf("engine start: %v\n%s", err, out)
				}
			})
		}
		wg.Wait()
		cancel()
		if got := e.Must(t, "volume", "ls", "-q"); got != "data" {
			t.Fatalf("volumes: %q", got)
		}
	}
}

// possessions is what must survive, in words that compare.
func possessions(t testing.TB, e *lab.Engine) string {
	t.Helper()
	var out []string
	for _, args := range [][]string{
		{"ps", "-a", "--no-trunc", "--format", "container {{.ID}} {{.Names}} {{.Image}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"},
		{"images", "--no-trunc", "--digests", "--format", "image {{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}"},
		{"network", "ls", "--format", "network {{.ID}} {{.Name}}"},
	} {
		lines := strings.Split(e.Must(t, args...), "\n")
		slices.Sort(lines)
		out = append(out, lines...)
	}
	return strings.Join(out, "\n")
}

func containerPID(t testing.TB, e *lab.Engine, name string) int {
	t.Helper()
	pid, err := strconv.Atoi(e.Must(t, "inspect", "--format", "{{.State.Pid}}", name))
	if err != nil || pid <= 1 {
		t.Fatalf("the process of %s: %d, %v", name, pid, err)
	}
	return pid
}

// containerProcess tells a container's process from any other, also of the same number.
func containerProcess(t testing.TB, e *lab.Engine, name string) string {
	t.Helper()
	pid := containerPID(t, e, name)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// The start time is field 22 (proc(5)); the second field is the name, in parentheses.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fmt.Sprintf("process %d, started at %s", pid, fields[19])
}

func buildContext(t testing.TB, image, text string) string {
	t.Helper()
	dir := t.TempDir()
	dockerfile := "FROM " + image + "\nRUN echo '" + text + "' > /text\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unmountAll unmounts a directory and what is mounted below.
func unmountAll(t testing.TB, dir string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		if point := strings.Fields(line)[4]; point == dir || strings.HasPrefix(point, dir+"/") {
			if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
				t.Errorf("unmounting %s: %v", point, err)
			}
		}
	}
}
