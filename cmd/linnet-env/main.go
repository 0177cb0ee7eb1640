//go:build linux

// linnet-env runs a build step's program with secrets in its environment. A step's own environment is
// part of its container, which the engine keeps on disk; what this puts there comes from files in
// memory and is known to the step alone.
//
//	linnet-env FILE=NAME... -- PROGRAM ARGUMENT...
//
// A file that is not there is an optional secret that was not supplied: its variable is empty. The file
// of this program is part of what a step is cached by, so it depends on nothing that changes.
package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// The exit codes of shells for a program that is not there, and for one that cannot be run.
const (
	notFound  = 127
	cannotRun = 126
)

func main() {
	err := run(os.Args[1:])
	_, _ = os.Stderr.WriteString("linnet-env: " + err.Error() + "\n") // there is no other place to report to
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		os.Exit(notFound)
	}
	os.Exit(cannotRun)
}

// run becomes the program; it returns only if it cannot.
func run(args []string) error {
	for len(args) > 0 && args[0] != "--" {
		file, name, ok := strings.Cut(args[0], "=")
		if !ok {
			return errors.New(args[0] + " is not of the form FILE=NAME")
		}
		value, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Setenv(name, string(value)); err != nil {
			return errors.New("the secret for " + name + " cannot be a variable: it has a zero byte, or the name is none")
		}
		args = args[1:]
	}
	if len(args) < 2 {
		return errors.New("no program")
	}
	program, err := exec.LookPath(args[1])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return err
	}
	return &exec.Error{Name: args[1], Err: syscall.Exec(program, args[1:], os.Environ())} //nolint:forbidigo // to become the program is what this is for
}
