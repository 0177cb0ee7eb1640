//go:build e2e && linux

package docker_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// journey is what a user of the docker command line does, as a shell script, and what it has to print. The script has the test image in
// $I, a loopback registry in $R, a word of its own in $N, with which the names of what it makes begin, and is run in an empty directory.
type journey struct {
	name, script, want string
	// old is whether Debian's docker goes there, too.
	old bool
}

func TestJourneys(t *testing.T) {
	c, registry := sharedClient(t), lab.NewRegistry(t)
	all := append(append(append([]journey{}, containers...), worlds...), images...)
	if len(all) < 40 {
		t.Errorf("%d journeys, want 40", len(all))
	}
	// Clients compare versions as numbers.
	if got := c.must(t, "version", "--format", "{{.Client.Version}} {{.Server.Version}}"); strings.Contains(got, "v") {
		t.Errorf("the versions are %s", got)
	}
	for _, j := range all {
		t.Run(j.name, func(t *testing.T) { c.travel(t, j, registry) })
	}
}

// Debian's docker speaks an older version of the API, and builds without BuildKit.
func TestJourneysWithDebiansDocker(t *testing.T) {
	c, registry := *sharedClient(t), lab.NewRegistry(t)
	c.docker = filepath.Join(debian(t, oldDocker), "usr", "bin", "docker")
	if v := c.must(t, "version", "--format", "{{.Client.Version}}"); !strings.HasPrefix(v, "20.10.") {
		t.Fatalf("Debian's docker is %s", v)
	}
	gone := 0
	for _, j := range append(append(append([]journey{}, containers...), worlds...), images...) {
		if j.old {
			gone++
			t.Run(j.name, func(t *testing.T) { c.travel(t, j, registry) })
		}
	}
	if gone < 10 {
		t.Errorf("%d journeys, want 10", gone)
	}
}

// travel runs a journey and removes what is left of it.
func (c *client) travel(t *testing.T, j journey, registry *lab.Registry) {
	t.Helper()
	word := "j" + strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, j.name)
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := c.program(ctx, "/bin/sh", "-euc", j.script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Env, "I="+image, "N="+word, "R=127.0.0.1:"+registry.Port, "LC_ALL=C.UTF-8")
	t.Cleanup(func() { c.remove(t, word) })
	r := end(t, cmd)
	if got, want := strings.TrimSpace(r.Out), strings.TrimSpace(j.want); r.Code != 0 || got != want {
		t.Errorf("exit code %d, it printed\n%s\nwant\n%s\nit said\n%s", r.Code, got, want, r.Err)
	}
}

func debian(t testing.TB, packages []string) string {
	t.Helper()
	dir, err := lab.Debian(packages...)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// inTerminal prepares a docker command line for a terminal.
func (c *client) inTerminal(ctx context.Context, args ...string) *exec.Cmd {
	return c.program(ctx, append([]string{c.docker}, args...)...)
}
