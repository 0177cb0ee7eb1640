//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The phases of an operation, told by what can be seen of it.
const (
	early  = iota // its client runs, and nothing of it is there
	middle        // its first container is there; of rm: its container's process is gone
	late          // it is all there, and the client has not ended or just so; of rm: the container's bundle is gone
)

var phases = []string{"early", "middle", "late"}

// operation is what is going on when something is killed.
type operation struct {
	name string
	cmd  *exec.Cmd
	log  string // of what the client says
	done chan struct{}
	// phase looks how far it is.
	phase func() int
}

// begin begins an operation.
func (c *chaos) begin(ctx context.Context, name string) *operation {
	c.t.Helper()
	c.made++
	id := fmt.Sprintf("v%d", c.made)
	port := strconv.Itoa(18100 + c.made)
	switch name {
	case "run":
		before := c.bundles()
		o := c.start(ctx, name, "run", "-d", "--name", id, "-p", "127.0.0.1:"+port+":80", "-v", "kept:/kept", c.image, "sleep", c.token)
		o.phase = func() int { return c.progress(before, 1) }
		return o
	case "compose up":
		file := filepath.Join(c.dir, id+".yaml")
		text := fmt.Sprintf("services:\n  a:\n    image: %[1]s\n    command: sleep %[2]s\n    ports: [\"127.0.0.1:%[3]s:80\"]\n  b:\n    image: %[1]s\n    command: sleep %[2]s\n    depends_on: [a]\n", c.image, c.token, port)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
		before := c.bundles()
		o := c.start(ctx, name, "compose", "-f", file, "-p", id, "up", "-d")
		o.phase = func() int { return c.progress(before, 2) }
		return o
	case "build":
		dir := filepath.Join(c.dir, id)
		text := "FROM " + c.image + "\nRUN echo " + id + " > /a; sleep 0.2\nRUN head -c 1000000 /dev/urandom > /b\n"
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644)); err != nil {
			c.t.Fatal(err)
		}
		before := c.bundles()
		o := c.start(ctx, name, "build", "--progress", "plain", "-t", id, dir)
		o.phase = func() int {
			switch {
			case strings.Contains(o.said(), "exporting"):
				return late
			case len(c.bundles()) > len(before) || strings.Contains(o.said(), "echo "+id):
				return middle
			}
			return early
		}
		return o
	default:
		container := c.Must(c.t, "run", "-d", "--name", id, "-p", "127.0.0.1:"+port+":80", c.image, "sleep", c.token)
		bundle := c.bundle(container)
		process := initOf(bundle)
		o := c.start(ctx, name, "rm", "-f", id)
		o.phase = func() int {
			if _, err := os.Stat(bundle); err != nil {
				return late
			}
			if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", process)); len(text) == 0 {
				return middle
			}
			return early
		}
		return o
	}
}

func (c *chaos) start(ctx context.Context, name string, args ...string) *operation {
	c.t.Helper()
	out, err := os.Create(filepath.Join(c.dir, "said"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	o := &operation{name: name, cmd: c.Command(ctx, args...), log: out.Name(), done: make(chan struct{})}
	o.cmd.Stdout, o.cmd.Stderr = out, out
	if err := o.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { _ = o.cmd.Wait(); close(o.done) }()
	return o
}

// said is what its client has written so far.
func (o *operation) said() string {
	text, _ := os.ReadFile(o.log)
	return string(text)
}

func (o *operation) ended() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// bundles are the containers that the runtime has begun.
func (c *chaos) bundles() []string {
	found, _ := filepath.Glob(filepath.Join(layoutOf(c.Engine).ContainerdState(), "io.containerd.runtime.v2.task", "default", "*"))
	return found
}

func (c *chaos) bundle(id string) string {
	return filepath.Join(layoutOf(c.Engine).ContainerdState(), "io.containerd.runtime.v2.task", "default", id)
}

// initOf is a container's first process, 0 when there is none yet.
func initOf(bundle string) int {
	text, _ := os.ReadFile(filepath.Join(bundle, "init.pid"))
	pid, _ := strconv.Atoi(string(text))
	return pid
}

// progress is how far an operation is that makes so many containers.
func (c *chaos) progress(before []string, want int) int {
	begun, running := 0, 0
	for _, bundle := range c.bundles() {
		if slices.Contains(before, bundle) {
			continue
		}
		begun++
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", initOf(bundle))); strings.Contains(string(text), c.token) {
			running++
		}
	}
	switch {
	case running >= want:
		return late
	case begun > 0:
		return middle
	}
	return early
}

// victim is a process to kill, 0 when there is none now.
func (c *chaos) victim(target string, op *operation) int {
	program := map[string]string{
		"nerdctl": "nerdctl", "agent": "linnet-agent", "containerd": "containerd", "buildkitd": "buildkitd",
		"shim": "containerd-shim-runc-v2", "runc": "runc",
	}[target]
	switch target {
	case "client":
		if op.ended() {
			return 0
		}
		return op.cmd.Process.Pid
	case "first process":
		newest, at := 0, time.Time{}
		for _, bundle := range c.bundles() {
			if info, err := os.Stat(bundle); err == nil && info.ModTime().After(at) && initOf(bundle) > 1 {
				newest, at = initOf(bundle), info.ModTime()
			}
		}
		return newest
	case "nerdctl":
		if op.name == "build" { // it has none
			return c.victim("client", op)
		}
	}
	return c.newest(program)
}

// newest is the newest process of this engine that runs a program.
func (c *chaos) newest(program string) int {
	l := layoutOf(c.Engine)
	newest := 0
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		if path, err := os.Readlink(exe); err != nil || filepath.Base(path) != program {
			continue
		}
		dir := filepath.Dir(exe)
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if !bytes.Contains(append(cmdline, environ...), []byte(c.Home)) && !bytes.Contains(append(cmdline, environ...), []byte(l.Volatile())) {
			continue
		}
		if pid, _ := strconv.Atoi(filepath.Base(dir)); pid > newest {
			newest = pid
		}
	}
	return newest
}
