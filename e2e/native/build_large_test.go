//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// A hundred thousand files of which most are ignored, as in a directory with node_modules.
func TestAHundredThousandFiles(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	e.Busybox(t)
	dir, err := os.MkdirTemp("/dev/shm", "many-") // in memory: making them is not what is looked at
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY . /\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte("node_modules\n**/*.tmp\n!**/kept.tmp\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		top := "node_modules"
		if i%20 == 0 {
			top = "src"
		}
		packageDir := filepath.Join(dir, top, fmt.Sprint("package-", i))
		if err := os.MkdirAll(packageDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for j := range 100 {
			name := fmt.Sprintf("file-%d.js", j)
			switch j {
			case 10, 20, 30:
				name = fmt.Sprintf("file-%d.tmp", j)
			case 40:
				name = "kept.tmp"
			}
			if err := os.WriteFile(filepath.Join(packageDir, name), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	sameDigest(t, e, dir)
	start := time.Now()
	used := maxMemory(t, e, "build", "-q", "-t", "many", dir)
	again := time.Now()
	e.Must(t, "build", "-q", "-t", "many", dir)
	t.Logf("%v, then %v with nothing changed; the client used %d MB", again.Sub(start), time.Since(again), used>>20)
	if used > 150<<20 {
		t.Errorf("the client used %d MB", used>>20)
	}
}

// The client streams: two gigabytes take no more of its memory than two bytes do.
func TestALargeContextIsStreamed(t *testing.T) {
	e := lab.Shared(t)
	dir := project(t, "FROM "+e.Busybox(t)+"\nRUN --mount=target=/c test $(stat -c %s /c/large) = 2147483648\n")
	large, err := os.Create(filepath.Join(dir, "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*i>>3 + i)
	}
	for range 2 << 10 {
		if _, err := large.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	used := maxMemory(t, e, "build", "--progress=plain", "--output=type=cacheonly", dir)
	t.Logf("in %v, with %d MB", time.Since(start), used>>20)
	if used > 150<<20 {
		t.Errorf("the client used %d MB", used>>20)
	}
	e.Must(t, "builder", "prune", "--force")
}

// maxMemory runs a command that has to succeed and returns the most memory that it had, in bytes.
func maxMemory(t *testing.T, e *lab.Engine, args ...string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := e.Command(ctx, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The account at its end would be that of this process too, whose memory it began with.
	var most int64
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("linnet %q: %v\n%s", args, err, &out)
			}
			if most == 0 {
				t.Fatalf("linnet %q: its memory was not seen", args)
			}
			return most << 10
		case <-tick.C:
			text, _ := os.ReadFile(status) // it may have ended
			if found := highWater.FindSubmatch(text); found != nil {
				kb, _ := strconv.ParseInt(string(found[1]), 10, 64) // digits
				most = max(most, kb)
			}
		}
	}
}

// highWater is the most memory that a process has had since its program was started (proc(5)).
var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)
