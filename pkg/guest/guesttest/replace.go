package guesttest

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// replaceFile is the variable that turns a test binary into one that replaces itself.
const replaceFile = "LINNET_GUESTTEST_REPLACE"

// notReplaced is the exit code of a process that could not be replaced.
const notReplaced = 99

// order is the part of a guest.Process that Replace looks at, in a form that crosses into
// another process byte for byte.
type order struct {
	Argv, Env, Variables []string
	Dir                  string
}

// ReplaceMain makes ReplaceSuite possible: a package whose guest can replace calls it first
// thing in its TestMain. In the tests' own process it returns at once; in one that
// ReplaceSuite has started it makes the guest, lets it replace the process, and never returns.
func ReplaceMain(newGuest func() (guest.Guest, error)) {
	file := os.Getenv(replaceFile)
	if file == "" {
		return
	}
	err := replace(file, newGuest)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(notReplaced)
}

func replace(file string, newGuest func() (guest.Guest, error)) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var o order
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&o); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	if err := os.Unsetenv(replaceFile); err != nil {
		return err
	}
	g, err := newGuest()
	if err != nil {
		return err
	}
	replace := g.Capabilities().Replace
	if replace == nil {
		return errors.New("the guest's processes cannot take this one's place")
	}
	return replace(guest.Process{Argv: o.Argv, Env: o.Env, Variables: o.Variables, Dir: o.Dir})
}

// replaced is what became of a process.
type replaced struct {
	code, pid      int
	stdout, stderr string
}

// startReplaced runs this test binary again and has it replaced by p.
func startReplaced(t *testing.T, p guest.Process) replaced {
	t.Helper()
	var data bytes.Buffer
	if err := gob.NewEncoder(&data).Encode(order{Argv: p.Argv, Env: p.Env, Variables: p.Variables, Dir: p.Dir}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "process")
	if err := os.WriteFile(file, data.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var r replaced
	var stdout, stderr bytes.Buffer
	r.code, err = host.Run(t.Context(), host.Command{
		Argv: []string{program}, Env: append(os.Environ(), replaceFile+"="+file),
		Stdin: p.Stdin, Stdout: &stdout, Stderr: &stderr,
		Started: func(pid int) { r.pid = pid },
	})
	if err != nil {
		t.Fatalf("running this test again: %v", err)
	}
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

// ReplaceSuite tests that a guest which can replace this process does so as the contract says.
// The package's TestMain must call ReplaceMain. Like Suite, it needs a POSIX shell.
func ReplaceSuite(t *testing.T, shell ...string) {
	if len(shell) == 0 {
		shell = []string{"/bin/sh"}
	}
	s := &suite{Target: Target{Shell: shell}}
	t.Run("SameProcess", func(t *testing.T) {
		r := startReplaced(t, s.sh("echo $$; exit 42"))
		if r.code != 42 || r.stdout != strconv.Itoa(r.pid)+"\n" {
			t.Errorf("exit code %d, process %q, was %d; stderr %q", r.code, r.stdout, r.pid, r.stderr)
		}
	})
	t.Run("Argv", func(t *testing.T) {
		want := append(s.texts(), "")
		r := startReplaced(t, s.sh(`printf '%s\0' "$@"`, want...))
		if got := strings.Split(r.stdout, "\x00"); !slices.Equal(got[:len(got)-1], want) {
			t.Errorf("arguments %q, want %q; stderr %q", got, want, r.stderr)
		}
	})
	t.Run("Variables", func(t *testing.T) {
		p := s.sh(`eval "exec cat <&$LINNET_VARIABLES_FD"`)
		p.Variables = []string{"GT_LONG=" + strings.Repeat("x", 300<<10), "GT_ODD=two\nlines # \xff ", "GT_BARE"}
		r := startReplaced(t, p)
		if want := strings.Join(p.Variables, "\x00") + "\x00"; r.code != 0 || r.stdout != want {
			t.Errorf("exit code %d, %d bytes for %d, stderr %q", r.code, len(r.stdout), len(want), r.stderr)
		}
	})
	t.Run("Environment", func(t *testing.T) {
		long := strings.Repeat("0123456789abcdef\n", 100<<10/17)
		p := s.sh(show, "GT_LONG", "GT_ODD", "GT_EMPTY")
		p.Env = []string{"GT_LONG=" + long, "GT_ODD=two\nlines # \xff ", "GT_EMPTY="}
		if r := startReplaced(t, p); r.stdout != long+"\x00two\nlines # \xff \x00\x00" {
			t.Errorf("values %.300q, stderr %q", r.stdout, r.stderr)
		}
		if r := startReplaced(t, s.sh(`printf %s "$`+replaceFile+`$PATH"`)); r.stdout == "" || strings.HasPrefix(r.stdout, t.TempDir()) {
			t.Errorf("the guest's own PATH is %q", r.stdout)
		}
	})
	t.Run("WorkingDirectory", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "marker"), "here")
		p := s.sh("cat marker")
		p.Dir = dir
		if r := startReplaced(t, p); r.code != 0 || r.stdout != "here" {
			t.Errorf("exit code %d, output %q, stderr %q", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("Streams", func(t *testing.T) {
		p := s.sh("cat; echo err >&2")
		p.Stdin = strings.NewReader("typed")
		if r := startReplaced(t, p); r.code != 0 || r.stdout != "typed" || r.stderr != "err\n" {
			t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
		}
	})
	t.Run("NoSuchProgram", func(t *testing.T) {
		r := startReplaced(t, guest.Process{Argv: []string{"guesttest-no-such-program"}})
		if r.code != notReplaced || !strings.Contains(r.stderr, "guesttest-no-such-program") {
			t.Errorf("exit code %d, stderr %q; want Replace to return an error that names it", r.code, r.stderr)
		}
	})
}
