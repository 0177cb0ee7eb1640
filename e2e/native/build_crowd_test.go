//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// crowd is how many builds run at once.
const crowd = 8

// crowded makes a project that was never built: some files of its own and some steps.
func crowded(t *testing.T, base string) (dir, mark string) {
	t.Helper()
	mark = rand.Text()
	dir = project(t, "FROM "+base+" AS one\nCOPY . /c\nRUN cat /c/mark >/one\nFROM "+base+" AS two\nARG MARK="+mark+
		"\nRUN echo $MARK >/two\nFROM "+base+"\nCOPY --from=one /one /c/*.txt /\nCOPY --from=two /two /\nRUN test $(cat /one) = $(cat /two)\n")
	for i := range 50 {
		text := make([]byte, 20<<10)
		_, _ = rand.Read(text) // never fails
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.txt", i)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "mark"), []byte(mark+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, mark
}

// together runs commands at once; all have to succeed. It returns how long the slowest took.
func together(t *testing.T, commands []*exec.Cmd) (slowest time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	took := make([]time.Duration, len(commands))
	for i, cmd := range commands {
		wg.Go(func() {
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			start := time.Now()
			if err := cmd.Run(); err != nil {
				t.Errorf("%q: %v\n%s", cmd.Args, err, &out)
			}
			took[i] = time.Since(start)
		})
	}
	wg.Wait()
	return slices.Max(took)
}

// Eight builds at once, of eight projects and of one: each result is right, and no build takes more
// than twice what the slowest of the same takes through nerdctl.
func TestEightBuildsAtOnce(t *testing.T) {
	e := lab.Shared(t)
	base := e.Busybox(t)
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	for _, c := range []struct {
		name     string
		projects int
	}{{"of eight projects", crowd}, {"of one project", 1}} {
		t.Run(c.name, func(t *testing.T) {
			slowest := map[string]time.Duration{}
			for round := range 2 {
				for name, words := range map[string][]string{"linnet": {"build"}, "nerdctl": {"nerdctl", "build"}} {
					var dirs, marks []string
					for range c.projects {
						dir, mark := crowded(t, base)
						dirs, marks = append(dirs, dir), append(marks, mark)
					}
					var commands []*exec.Cmd
					for i := range crowd {
						args := append(slices.Clone(words), "--progress=plain", "-t", fmt.Sprint("crowd-", i), dirs[i%c.projects])
						commands = append(commands, e.Command(ctx, args...))
					}
					took := together(t, commands)
					if round == 0 || took < slowest[name] {
						slowest[name] = took
					}
					if round > 0 || name == "nerdctl" {
						continue // what it holds has been seen, or is not ours
					}
					inspect := []string{"image", "inspect", "--format", "{{.Id}}"}
					for i := range crowd {
						image := fmt.Sprint("crowd-", i)
						if got := e.Must(t, "run", "--rm", "--network=none", image, "sh", "-c", "cat /one; ls /*.txt | wc -l"); got != marks[i%c.projects]+"\n50" {
							t.Errorf("%s: %s holds %q, want %q and 50 files", name, image, got, marks[i%c.projects])
						}
						inspect = append(inspect, image)
					}
					ids := strings.Fields(e.Must(t, inspect...))
					if distinct := len(slices.Compact(slices.Sorted(slices.Values(ids)))); len(ids) != crowd || distinct != c.projects {
						t.Errorf("%s: %d images of %d projects: %s", name, distinct, c.projects, strings.Join(ids, " "))
					}
				}
			}
			t.Logf("the slowest of %d: linnet %v, nerdctl %v", crowd, slowest["linnet"], slowest["nerdctl"])
			if slowest["linnet"] > 2*slowest["nerdctl"] {
				t.Errorf("the slowest takes %v, and %v through nerdctl", slowest["linnet"], slowest["nerdctl"])
			}
		})
	}
	e.Must(t, "builder", "prune", "--force")
}
