//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asItself makes the test's program linnet-env.
const asItself = "LINNET_ENV_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asItself) != "" {
		main()
	}
	os.Exit(m.Run())
}

func start(t *testing.T, dir string, args ...string) (out, errs string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(self, args...)
	cmd.Env = []string{asItself + "=1", "PATH=" + dir + ":/bin:/usr/bin", "A=before", "KEPT=yes"}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func file(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// The program gets each secret as it is, in the place of a variable of that name, and everything else as
// it was.
func TestTheProgramGetsItsSecrets(t *testing.T) {
	dir := t.TempDir()
	value := "\xff two\n'lines'\n\n"
	a := file(t, dir, "a", value, 0o600)
	file(t, dir, "program", "#!/bin/sh\nprintf '%s|%s|%s|%s' \"$A\" \"$NONE\" \"$KEPT\" \"$*\"\nexit 7\n", 0o755)
	out, errs, code := start(t, dir, a+"=A", filepath.Join(dir, "none")+"=NONE", "--", "program", "x=y", "--")
	if want := value + "||yes|x=y --"; out != want || code != 7 || errs != "" {
		t.Errorf("%q, %q, exit code %d, want %q and 7", out, errs, code, want)
	}
}

// What cannot be run ends as it would in a shell, with one line.
func TestWhatCannotBeRun(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "plain", "", 0o644)
	zero := file(t, dir, "zero", "a\x00b", 0o600)
	for name, c := range map[string]struct {
		args []string
		says string
		code int
	}{
		"a program that is not there":  {[]string{"--", "nowhere"}, `linnet-env: exec: "nowhere": executable file not found in $PATH`, notFound},
		"a path that is not there":     {[]string{"--", "./nowhere"}, `linnet-env: exec: "./nowhere": stat ./nowhere: no such file or directory`, notFound},
		"a file that is no program":    {[]string{"--", "./plain"}, `linnet-env: exec: "./plain": permission denied`, cannotRun},
		"a secret with a zero byte":    {[]string{zero + "=A", "--", "true"}, "linnet-env: the secret for A cannot be a variable: it has a zero byte, or the name is none", cannotRun},
		"a secret that is a directory": {[]string{dir + "=A", "--", "true"}, "linnet-env: read " + dir + ": is a directory", cannotRun},
		"nothing":                      {nil, "linnet-env: no program", cannotRun},
		"something else":               {[]string{"help"}, "linnet-env: help is not of the form FILE=NAME", cannotRun},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := start(t, dir, c.args...)
			if strings.TrimSpace(errs) != c.says || code != c.code || out != "" {
				t.Errorf("%q, exit code %d, want %q and %d", errs, code, c.says, c.code)
			}
		})
	}
}
