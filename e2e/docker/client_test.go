//go:build e2e && linux

package docker_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/host"
)

// image is the test image's name on both sides.
const image = "linnet-test/busybox"

// client is a user of Docker's API on an engine: programs that find the socket in DOCKER_HOST.
type client struct {
	*lab.Engine

	// docker is the command line that `docker` is.
	docker string
	// config is DOCKER_CONFIG, which has the plugins.
	config string
}

// on is a client of an engine, which is started and has the test image.
func on(t testing.TB, e *lab.Engine) *client {
	t.Helper()
	e.Must(t, "engine", "start")
	e.Busybox(t)
	c := &client{Engine: e, docker: lab.Peer(t, "docker"), config: filepath.Join(e.User, ".docker")}
	plugins := filepath.Join(c.config, "cli-plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, plugin := range []string{"docker-buildx", "docker-compose"} {
		if err := os.Symlink(lab.Peer(t, plugin), filepath.Join(plugins, plugin)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, "the test image on Docker's side", func() bool {
		r := c.run(t, nil, "image", "inspect", image)
		return r.Code == 0
	})
	return c
}

// hasty has an engine not wait long for containers that do not listen.
const hasty = "LINNET_ENGINE_STOP_TIMEOUT=1s"

// shared is the client on the package's shared engine, once a test has asked for it.
var shared *client

// sharedClient is one on the package's shared engine.
func sharedClient(t testing.TB) *client {
	t.Helper()
	e := lab.Shared(t)
	if shared == nil {
		e.Env = append(e.Env, hasty)
	}
	shared = on(t, e)
	return shared
}

// ownEngine is an engine of the test's own. The shared one, which stops, would be another dockerd in this network namespace.
func ownEngine(t testing.TB, env ...string) *lab.Engine {
	t.Helper()
	if shared != nil {
		shared.Must(t, "engine", "stop")
	}
	e := lab.New(t)
	e.Env = append(append(e.Env, hasty), env...)
	return e
}

// ownClient is one on an engine of its own.
func ownClient(t testing.TB, env ...string) *client {
	t.Helper()
	return on(t, ownEngine(t, env...))
}

func (c *client) layout() host.Layout {
	return host.Layout{Home: c.Home, Libexec: filepath.Join(lab.Root(), "libexec", "linnet")}
}

func (c *client) socket() string { return c.layout().DockerSocket() }

// environ is the environment of a program that uses the API; docker is the first one in its PATH.
func (c *client) environ(more ...string) []string {
	path := filepath.Dir(c.docker) + ":" + os.Getenv("PATH")
	return append(append(c.Environ(), "DOCKER_HOST=unix://"+c.socket(), "DOCKER_CONFIG="+c.config, "PATH="+path), more...)
}

// program prepares a program that uses the API.
func (c *client) program(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = c.environ()
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// end runs a program to its end, whatever that is.
func end(t testing.TB, cmd *exec.Cmd) lab.Result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, &out, &errs)
	}
	return lab.Result{Out: out.String(), Err: errs.String(), Code: cmd.ProcessState.ExitCode()}
}

// run runs `docker` to its end; the environment is added to.
func (c *client) run(t testing.TB, env []string, args ...string) lab.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), lab.Timeout)
	defer cancel()
	cmd := c.program(ctx, append([]string{c.docker}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	r := end(t, cmd)
	if ctx.Err() != nil {
		t.Fatalf("docker %q did not end within %v\n%s%s", args, lab.Timeout, r.Out, r.Err)
	}
	return r
}

// must runs a `docker` that has to succeed, and returns its output without the last newline.
func (c *client) must(t testing.TB, args ...string) string {
	t.Helper()
	r := c.run(t, nil, args...)
	if r.Code != 0 {
		t.Fatalf("docker %q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
	}
	return strings.TrimSuffix(r.Out, "\n")
}

// remove removes containers, networks and volumes whose names begin with a word. Clean-up, so it fails no test.
func (c *client) remove(t testing.TB, word string) {
	t.Helper()
	for _, kind := range []string{"container", "network", "volume"} {
		list := []string{kind, "ls", "-q", "--filter", "name=" + word}
		force := []string{kind, "rm"}
		if kind == "container" {
			list, force = append(list, "-a"), append(force, "-f", "-v")
		}
		if ids := strings.Fields(c.run(t, nil, list...).Out); len(ids) > 0 {
			c.run(t, nil, append(force, ids...)...)
		}
	}
}

// write makes the files of a directory for a test.
func write(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
