//go:build e2e && linux

package docker_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Docker's SDK for Python, Debian's: what it prints is compared whole.
func TestPythonSDK(t *testing.T) {
	c := sharedClient(t)
	t.Cleanup(func() { c.remove(t, "sdk") })
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := c.program(ctx, "/usr/bin/python3", filepath.Join("testdata", "sdk.py"), image)
	cmd.Env = append(cmd.Env, "PYTHONPATH="+filepath.Join(debian(t, pythonSDK), "usr", "lib", "python3", "dist-packages"), "PYTHONDONTWRITEBYTECODE=1")
	r := end(t, cmd)
	want, err := os.ReadFile(filepath.Join("testdata", "sdk.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(r.Out, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Errorf("line %d differs:\n%s\nwant\n%s", i+1, strings.Join(got[min(i, len(got)):min(i+1, len(got))], ""), strings.Join(wanted[min(i, len(wanted)):min(i+1, len(wanted))], ""))
		}
	}
	if r.Code != 0 || len(wanted) < 21 {
		t.Errorf("exit code %d\n%s", r.Code, r.Err)
	}
}

// reaper is an image of ours under the name of testcontainers' own, for the library's version; nothing is pulled.
func (c *client) reaper(t testing.TB, name string) {
	t.Helper()
	program, err := os.ReadFile(lab.Peer(t, "reaper"))
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY --chmod=755 reaper /bin/ryuk\nEXPOSE 8080\nCMD [\"/bin/ryuk\"]\n", "reaper": string(program)})
	c.must(t, "build", "-q", "-t", name, dir)
}

// testcontainers prepares a case of e2e/peers/testcontainers.
func (c *client) testcontainers(ctx context.Context, t testing.TB, name string) *exec.Cmd {
	t.Helper()
	cmd := c.program(ctx, lab.Peer(t, "testcontainers"), name, image)
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
	return cmd
}

// testcontainers for Go with its reaper, which mounts the socket: each case works, leaves nothing, and what a test leaves is removed.
func TestTestcontainers(t *testing.T) {
	c := sharedClient(t)
	c.reaper(t, "testcontainers/ryuk:0.14.0")
	t.Run("all", func(t *testing.T) { c.testcontainersCases(t) })
	lab.Eventually(t, "all that testcontainers made to be gone", func() bool {
		return c.must(t, "ps", "-aq", "--filter", "label=org.testcontainers=true") == ""
	})
	if got := c.must(t, "network", "ls", "-q", "--filter", "label=org.testcontainers=true"); got != "" {
		t.Errorf("networks are left: %q", got)
	}
}

func (c *client) testcontainersCases(t *testing.T) {
	for name, want := range map[string]string{
		"port": "port", "log": "starting ready", "exec": "7 out err", "copy": "first second", "network": "0 alias", "build": "copied argument built",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
			defer cancel()
			r := end(t, c.testcontainers(ctx, t, name))
			if r.Code != 0 || strings.TrimSpace(r.Out) != want {
				t.Errorf("exit code %d, it saw %q, want %q\n%s", r.Code, r.Out, want, r.Err)
			}
		})
	}
	t.Run("reaper", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		defer cancel()
		r := end(t, c.testcontainers(ctx, t, "reaper"))
		id, session, _ := strings.Cut(strings.TrimSpace(r.Out), " session ")
		if r.Code != 0 || session == "" {
			t.Fatalf("exit code %d: %q\n%s", r.Code, r.Out, r.Err)
		}
		if got := c.run(t, nil, "inspect", "-f", "{{.State.Status}}", id); got.Out != "running\n" {
			t.Errorf("within the reconnect time the container is %+v", got)
		}
		lab.Eventually(t, "the reaper's work", func() bool { return c.run(t, nil, "inspect", id).Code != 0 })
	})
}

// docker compose: a build with a secret, healthy before the next, names, exec, logs, ports, watch, down.
func TestCompose(t *testing.T) {
	c := sharedClient(t)
	dir := filepath.Join(t.TempDir(), "twin")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "compose"))); err != nil {
		t.Fatal(err)
	}
	compose := func(args ...string) []string {
		return append([]string{"compose", "--project-directory", dir, "-f", filepath.Join(dir, "compose.yaml"), "--progress", "plain"}, args...)
	}
	t.Cleanup(func() { c.run(t, nil, compose("down", "-v", "--rmi", "all", "-t", "0")...) })
	c.must(t, compose("up", "--build", "-d")...)
	if got := c.must(t, compose("ps", "--format", "{{.Service}} {{.State}} {{.Health}}")...); got != "app running \ndb running healthy" {
		t.Errorf("ps: %q", got)
	}
	lab.Eventually(t, "the log", func() bool {
		return strings.Contains(c.must(t, compose("logs", "--no-log-prefix", "app")...), "argument 4")
	})
	if got := c.must(t, compose("logs", "--no-log-prefix", "app")...); got != "row\nargument 4" {
		t.Errorf("logs: %q", got)
	}
	if got := c.must(t, compose("exec", "-T", "app", "sh", "-c", "wget -qO- http://db/; echo $HOSTNAME | wc -c")...); got != "row\n13" {
		t.Errorf("exec: %q", got)
	}
	if got := c.must(t, compose("port", "app", "80")...); got != "127.0.0.1:18150" {
		t.Errorf("port: %q", got)
	}
	if got := c.must(t, compose("run", "--rm", "-T", "app", "cat", "/src/file")...); got != "first" {
		t.Errorf("run: %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	watch := c.program(ctx, append([]string{c.docker}, compose("watch", "--no-up")...)...)
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "a change to arrive", func() bool {
		if err := os.WriteFile(filepath.Join(dir, "src", "file"), []byte(time.Now().String()+"\nsecond\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(c.must(t, compose("exec", "-T", "app", "cat", "/src/file")...), "second")
	})
	_ = watch.Process.Signal(os.Interrupt)
	_ = watch.Wait() // of an interrupt
	c.must(t, compose("up", "-d", "--scale", "db=2")...)
	if got := strings.Fields(c.must(t, compose("ps", "-q", "db")...)); len(got) != 2 {
		t.Errorf("scaled to %q", got)
	}
	c.must(t, compose("down", "-v", "-t", "2")...)
	for _, kind := range []string{"container", "network", "volume"} {
		if got := c.must(t, kind, "ls", "-q", "--filter", "label=com.docker.compose.project=twin"); got != "" {
			t.Errorf("%ss are left: %q", kind, got)
		}
	}
}

// act runs a job of a workflow.
func TestAct(t *testing.T) {
	c := sharedClient(t)
	workflow, err := os.ReadFile(filepath.Join("testdata", "act", "workflow.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, map[string]string{".github/workflows/test.yaml": string(workflow), "file": "of the project\n"})
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := c.program(ctx, lab.Peer(t, "act"), "push", "-j", "test", "-P", "ubuntu-latest="+image, "--pull=false", "--rm", "--bind", "--container-daemon-socket", "unix://"+c.socket())
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	r := end(t, cmd)
	for _, want := range []string{"saw from-the-job", "of the project", "then two", "Job succeeded"} {
		if !strings.Contains(r.Out, want) {
			t.Errorf("%q is not in the output", want)
		}
	}
	if r.Code != 0 || t.Failed() {
		t.Errorf("exit code %d\n%s%s", r.Code, r.Out, r.Err)
	}
	if got := c.must(t, "ps", "-aq", "--filter", "name=act-"); got != "" {
		t.Errorf("containers are left: %q", got)
	}
}
