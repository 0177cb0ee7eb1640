//go:build e2e && linux

package vm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// dockerPeers are the programs of others that use a machine's socket, in a directory of the suite.
const dockerPeers = "docker-peers"

// dockerClients builds them there, with what they work on: the user of the suite has no compiler, and does not see this repository.
func dockerClients(root string) error {
	peers := []string{"docker-compose", "docker-buildx", "act", "testcontainers", "reaper"}
	if err := lab.MakePeers(peers...); err != nil {
		return err
	}
	dir := filepath.Join(root, dockerPeers)
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(filepath.Join(lab.SourceRoot(), "e2e", "docker", "testdata"))); err != nil {
		return err
	}
	for _, peer := range peers {
		text, err := os.ReadFile(filepath.Join(lab.SourceRoot(), "_output", "peers", "bin", peer))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, peer), text, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func peer(name string) string { return filepath.Join(lab.Root(), dockerPeers, name) }

// plugins has docker find compose and buildx.
func (d docker) plugins(t *testing.T) {
	t.Helper()
	dir := filepath.Join(d.config(), "cli-plugins")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker-compose", "docker-buildx"} {
		if err := os.Symlink(peer(name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// program runs a program that finds the socket in DOCKER_HOST, and returns its standard output.
func (d docker) program(t *testing.T, dir string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(d.environ(), "TMPDIR="+t.TempDir(), "XDG_CACHE_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", argv, err, out, &errs)
	}
	return strings.TrimSpace(string(out))
}

// dockerClientsWork: compose, buildx, testcontainers with its reaper, and act, on this host, with containers in the machine.
func dockerClientsWork(t *testing.T, d docker) {
	d.must(t, "tag", "bb", "linnet-test/busybox")
	t.Run("Buildx", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM bb\nRUN echo by buildx >/text\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.must(t, "buildx", "build", "-q", "--load", "-t", "by-buildx", dir)
		if out := d.must(t, "run", "--rm", "by-buildx", "cat", "/text"); out != "by buildx" {
			t.Errorf("the image has %q", out)
		}
	})
	t.Run("Compose", d.compose)
	t.Run("Testcontainers", d.testcontainers)
	t.Run("Act", d.act)
}

func (d docker) compose(t *testing.T) {
	dir := filepath.Join(share(t, d.e), "twin")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(lab.Root(), dockerPeers, "testdata", "compose"))); err != nil {
		t.Fatal(err)
	}
	compose := func(args ...string) string {
		t.Helper()
		return d.must(t, append([]string{"compose", "--project-directory", dir, "-f", filepath.Join(dir, "compose.yaml"), "--progress", "plain"}, args...)...)
	}
	compose("up", "--build", "-d")
	if got := compose("ps", "--format", "{{.Service}} {{.State}} {{.Health}}"); got != "app running \ndb running healthy" {
		t.Errorf("ps: %q", got)
	}
	lab.Eventually(t, "the log", func() bool { return compose("logs", "--no-log-prefix", "app") == "row\nargument 4" })
	if got := compose("exec", "-T", "app", "wget", "-qO-", "http://db/"); got != "row" {
		t.Errorf("exec: %q", got)
	}
	if got := compose("port", "app", "80"); got != "127.0.0.1:18150" {
		t.Errorf("port: %q", got)
	}
	compose("up", "-d", "--scale", "db=2")
	if got := strings.Fields(compose("ps", "-q", "db")); len(got) != 2 {
		t.Errorf("scaled to %q", got)
	}
	compose("down", "-v", "-t", "2")
	for _, kind := range []string{"container", "network", "volume"} {
		if got := d.must(t, kind, "ls", "-q", "--filter", "label=com.docker.compose.project=twin"); got != "" {
			t.Errorf("%ss are left: %q", kind, got)
		}
	}
}

func (d docker) testcontainers(t *testing.T) {
	dir := t.TempDir()
	text, err := os.ReadFile(peer("reaper"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "reaper"), text, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY --chmod=755 reaper /bin/ryuk\nEXPOSE 8080\nCMD [\"/bin/ryuk\"]\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.must(t, "buildx", "build", "-q", "--load", "-t", "testcontainers/ryuk:0.14.0", dir)
	for name, want := range map[string]string{
		"port": "port", "log": "starting ready", "exec": "7 out err", "copy": "first second", "network": "0 alias", "build": "copied argument built",
	} {
		if got := d.program(t, dir, peer("testcontainers"), name, "bb"); got != want {
			t.Errorf("%s: it saw %q, want %q", name, got, want)
		}
	}
	id, _, _ := strings.Cut(d.program(t, dir, peer("testcontainers"), "reaper", "bb"), " session ")
	lab.Eventually(t, "the reaper's work", func() bool { return d.run(t, "inspect", id).Code != 0 })
	lab.Eventually(t, "all that testcontainers made to be gone", func() bool {
		return d.must(t, "ps", "-aq", "--filter", "label=org.testcontainers=true") == ""
	})
}

func (d docker) act(t *testing.T) {
	dir := share(t, d.e)
	workflow, err := os.ReadFile(filepath.Join(lab.Root(), dockerPeers, "testdata", "act", "workflow.yaml"))
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, ".github", "workflows"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".github", "workflows", "test.yaml"), workflow, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "file"), []byte("of the project\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"}} {
		d.program(t, dir, slices.Concat([]string{"git", "-C", dir}, args)...)
	}
	out := d.program(t, dir, peer("act"), "push", "-j", "test", "-P", "ubuntu-latest=bb", "--pull=false", "--rm", "--bind", "--container-daemon-socket", "unix://"+d.socket())
	for _, want := range []string{"saw from-the-job", "of the project", "then two", "Job succeeded"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the output:\n%s", want, out)
		}
	}
}
