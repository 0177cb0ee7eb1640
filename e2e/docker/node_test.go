//go:build e2e && linux

package docker_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// nodeTime bounds one program of Node, which takes seconds to start on a busy machine.
const nodeTime = 5 * time.Minute

// testcontainers for Node, with the reaper on.
func TestTestcontainersForNode(t *testing.T) {
	if testing.Short() {
		t.Skip("in make test-docker")
	}
	c := sharedClient(t)
	c.reaper(t, "testcontainers/ryuk:0.14.0")
	dir := nodeModules(t)
	ctx, cancel := context.WithTimeout(t.Context(), nodeTime)
	defer cancel()
	cmd := c.program(ctx, "node", filepath.Join(dir, "cases.mjs"), image)
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
	r := end(t, cmd)
	const want = "port: page\nlog: ready\nexec: 7 copied\nnetwork: page\nbuild: argument\n"
	if r.Code != 0 || r.Out != want {
		t.Errorf("exit code %d, it printed\n%s\nwant\n%s\n%s", r.Code, r.Out, want, r.Err)
	}
	lab.Eventually(t, "all that testcontainers made to be gone", func() bool {
		return c.must(t, "ps", "-aq", "--filter", "label=org.testcontainers=true") == ""
	})
}

// The command line of dev containers brings one up, of an image and of a Dockerfile, and runs a command in it.
func TestDevContainers(t *testing.T) {
	if testing.Short() {
		t.Skip("in make test-docker")
	}
	c := sharedClient(t)
	program := filepath.Join(nodeModules(t), "node_modules", ".bin", "devcontainer")
	for name, want := range map[string]string{"image": "created", "dockerfile": "argument"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "project")
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "devcontainer", name))); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), nodeTime)
			defer cancel()
			up := end(t, c.program(ctx, program, "up", "--workspace-folder", dir, "--docker-path", c.docker))
			var said struct{ Outcome, ContainerID string }
			if err := json.Unmarshal([]byte(up.Out), &said); err != nil || said.Outcome != "success" {
				t.Fatalf("up: exit code %d\n%s%s", up.Code, up.Out, up.Err)
			}
			t.Cleanup(func() { c.run(t, nil, "rm", "-f", said.ContainerID) })
			r := end(t, c.program(ctx, program, "exec", "--workspace-folder", dir, "--docker-path", c.docker, "sh", "-c", "cat /tmp/created; echo made >made; pwd"))
			if fields := strings.Fields(r.Out); r.Code != 0 || len(fields) != 2 || fields[0] != want || fields[1] != "/workspaces/project" {
				t.Errorf("exec: exit code %d, %q\n%s", r.Code, r.Out, r.Err)
			}
			if text, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(text) != "made\n" {
				t.Errorf("the file on the host: %q, %v", text, err)
			}
		})
	}
}
