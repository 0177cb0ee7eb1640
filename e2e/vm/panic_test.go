//go:build e2e && linux

package vm_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// panics is how often the kernel panics after a build: what the environment says, or else otherwise.
func panics(t *testing.T, otherwise int) int {
	t.Helper()
	text := os.Getenv(lab.EnvPanics)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q", lab.EnvPanics, text)
	}
	return n
}

// fuse is a shell in the machine that waits for a line to panic the kernel: the command to do it must
// not take the time in which a kernel writes what is dirty by itself.
type fuse struct {
	boot  string // the boot that it ends
	light func()
}

func layFuse(t *testing.T, e *lab.Engine) fuse {
	t.Helper()
	cmd := e.Command(t.Context(), "vm", "shell", "sudo", "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq; cat /proc/sys/kernel/random/boot_id; read line; echo c >/proc/sysrq-trigger")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	boot := make([]byte, 37)
	if _, err := out.Read(boot); err != nil {
		t.Fatalf("reading the machine's boot: %v", err)
	}
	return fuse{boot: strings.TrimSpace(string(boot)), light: func() {
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the connection is lost
	}}
}

// panicAfterBuilds: the kernel panics the moment that a build has returned, again and again. Each time
// it starts by itself, and the image is there and whole.
func panicAfterBuilds(t *testing.T, e *lab.Engine, image string, rounds int) {
	lost := 0
	for round := range rounds {
		from := time.Now()
		dir := share(t, e)
		content := make([]byte, 300_000)
		_, _ = rand.Read(content)
		dockerfile := "FROM " + image + "\nCOPY content /content\nRUN mkdir -p /made/deep && for i in 1 2 3 4 5 6 7 8; do tail -c 100000 /content >/made/deep/$i; done && sha256sum /content /made/deep/* >/sums\n"
		for name, text := range map[string][]byte{"content": content, "Dockerfile": []byte(dockerfile)} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f := layFuse(t, e)
		name := fmt.Sprintf("young%d", round)
		if r := e.Run(t, "build", "-q", "-t", name, dir); r.Code != 0 {
			t.Fatalf("round %d: the build: exit code %d, stderr %q", round, r.Code, r.Err)
		}
		f.light()
		r := e.Run(t, "run", "--rm", "--network=none", name, "sh", "-c", "cat /proc/sys/kernel/random/boot_id; sha256sum -c /sums")
		boot, _, _ := strings.Cut(r.Out, "\n")
		switch {
		case r.Code != 0 || strings.Count(r.Out, ": OK\n") != 9:
			lost++
			t.Errorf("round %d: the image is lost: exit code %d, stdout %q, stderr %q", round, r.Code, r.Out, r.Err)
		case boot == f.boot:
			t.Errorf("round %d: nothing has panicked: it is still boot %s", round, boot)
		}
		e.Run(t, "rmi", "-f", name)
		t.Logf("round %d took %.1f s", round, time.Since(from).Seconds())
	}
	t.Logf("panics after a build: %d, images lost: %d", rounds, lost)
}

// panicAfterChanges: the same after other commands that change what the engine keeps.
func panicAfterChanges(t *testing.T, e *lab.Engine, image string) {
	archive := filepath.Join(share(t, e), "saved.tar")
	must(t, e, "save", "-o", archive, image)
	must(t, e, "run", "--name=changed", "--network=none", image, "sh", "-c", "head -c 200000 /dev/urandom >/made; sha256sum /made >/sums")
	for _, c := range []struct {
		change []string
		check  []string
	}{
		{[]string{"commit", "changed", "committed"}, []string{"run", "--rm", "--network=none", "committed", "sha256sum", "-c", "/sums"}},
		{[]string{"volume", "create", "born"}, []string{"volume", "inspect", "born"}},
		{[]string{"network", "create", "bornnet"}, []string{"network", "inspect", "bornnet"}},
		{[]string{"create", "--name=bornbox", "--network=none", image, "true"}, []string{"start", "-a", "bornbox"}},
		{[]string{"rmi", "-f", "committed"}, []string{"load", "-i", archive}},
	} {
		f := layFuse(t, e)
		must(t, e, c.change...)
		f.light()
		must(t, e, c.check...)
	}
	e.Run(t, "rm", "-f", "changed", "bornbox")
	e.Run(t, "network", "rm", "bornnet")
	e.Run(t, "volume", "rm", "born")
}
