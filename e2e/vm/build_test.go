//go:build e2e && linux

package vm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// hiddenDir is a directory of this host that no machine shares.
func hiddenDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "hidden-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBuildFromTheHost: what a build reads and writes is the host's, whether the machine
// sees it or not.
func TestBuildFromTheHost(t *testing.T) {
	e := machine(t)
	image := e.Busybox(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, e *lab.Engine, image string)
	}{
		{"Hidden", buildHidden},
		{"Output", buildOutput},
		{"Again", buildAgain},
		{"Platforms", buildPlatforms},
		{"Interrupted", buildInterrupted},
		{"Mistake", buildMistake},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, e, image) })
	}
}

// buildHidden: context, Dockerfile, named context and secret are in directories that the machine does not share.
func buildHidden(t *testing.T, e *lab.Engine, image string) {
	dir, more, secrets := hiddenDir(t), hiddenDir(t), hiddenDir(t)
	write(t, dir, "file", "of the context")
	write(t, more, "file", "of another")
	dockerfile := write(t, secrets, "Buildfile", "FROM "+image+"\nCOPY file /one\nCOPY --from=more file /two\nRUN --mount=type=secret,id=s wc -c </run/secrets/s >/three\n")
	must(t, e, "build", "-q", "-f", dockerfile, "--build-context", "more="+more, "--secret", "id=s,src="+write(t, secrets, "secret", "hush"), "-t", "hidden", dir)
	if out := must(t, e, "run", "--rm", "--network=none", "hidden", "cat", "/one", "/two", "/three"); out != "of the contextof another4" {
		t.Errorf("the image holds %q", out)
	}
}

// buildOutput: files land on this host, as this user's.
func buildOutput(t *testing.T, e *lab.Engine, image string) {
	dir := hiddenDir(t)
	write(t, dir, "Dockerfile", "FROM "+image+" AS made\nRUN echo made >/result\nFROM scratch\nCOPY --from=made /result /result\n")
	must(t, e, "build", "-q", "--output", filepath.Join(dir, "out"), dir)
	text, err := os.ReadFile(filepath.Join(dir, "out", "result"))
	if err != nil || string(text) != "made\n" {
		t.Errorf("the result is %q, %v", text, err)
	}
	must(t, e, "build", "-q", "--output", "type=oci,dest="+filepath.Join(dir, "image.tar"), dir)
	if out, err := exec.Command("tar", "-tf", filepath.Join(dir, "image.tar"), "index.json").CombinedOutput(); err != nil {
		t.Errorf("the archive: %v\n%s", err, out)
	}
}

// buildAgain: with nothing changed every step is cached, and only what changed is sent.
func buildAgain(t *testing.T, e *lab.Engine, image string) {
	dir := hiddenDir(t)
	write(t, dir, "Dockerfile", "FROM "+image+"\nCOPY large /large\nRUN sha256sum /large >/sum\n")
	write(t, dir, "large", strings.Repeat("a line of a large file\n", 1<<20))
	must(t, e, "build", "-q", "-t", "again", dir)
	r := e.Run(t, "build", "--progress=plain", "-t", "again", dir)
	if r.Code != 0 || strings.Count(r.Err, "CACHED") != 2 {
		t.Errorf("exit code %d, %s", r.Code, r.Err)
	}
	for line := range strings.Lines(r.Err) {
		if strings.Contains(line, "transferring context: ") && strings.Contains(line, "MB") {
			t.Errorf("the context was sent again: %s", line)
		}
	}
}

// buildPlatforms: two platforms land in the machine's image store, and the foreign one runs.
func buildPlatforms(t *testing.T, e *lab.Engine, _ string) {
	dir := hiddenDir(t)
	write(t, dir, "Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\n")
	write(t, dir, "file", "both")
	must(t, e, "build", "-q", "--platform=linux/amd64,linux/arm64", "-t", "both", dir)
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		if out := must(t, e, "image", "inspect", "--platform", platform, "--format", "{{.Os}}/{{.Architecture}}", "both"); out != platform {
			t.Errorf("%s: inspect says %q", platform, out)
		}
	}
}

// buildInterrupted: Ctrl-C ends the build on both sides.
func buildInterrupted(t *testing.T, e *lab.Engine, image string) {
	dir := hiddenDir(t)
	write(t, dir, "Dockerfile", "FROM "+image+"\nRUN echo runs now; sleep 1000\n")
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := e.Command(ctx, "build", "--progress=plain", "-t", "never", dir)
	log := write(t, dir, "log", "")
	file, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the step to run", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), "] RUN echo") && strings.Contains(string(text), " runs now")
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_ = cmd.Wait() // its exit code is looked at
	if took := time.Since(begun); cmd.ProcessState.ExitCode() != 130 || took > 2*time.Second {
		t.Errorf("exit code %d after %v", cmd.ProcessState.ExitCode(), took)
	}
	lab.Eventually(t, "the step to end in the machine", func() bool {
		return e.Run(t, "vm", "shell", "pgrep", "-f", "^sleep 1000$").Code == 1
	})
	if got := must(t, e, "images", "-q", "never"); got != "" {
		t.Errorf("there is an image: %s", got)
	}
}

// buildMistake: an error names the line of the host's own file.
func buildMistake(t *testing.T, e *lab.Engine, image string) {
	dir := hiddenDir(t)
	write(t, dir, "Dockerfile", "FROM "+image+"\nRUN exit 3\n")
	r := e.Run(t, "build", "--progress=plain", dir)
	if r.Code != 1 || !strings.Contains(r.Err, "Dockerfile:2") {
		t.Errorf("exit code %d, stderr %q", r.Code, r.Err)
	}
}
