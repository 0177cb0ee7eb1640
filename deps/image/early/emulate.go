//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const binfmtDir = "/proc/sys/fs/binfmt_misc"

// binfmt makes the kernel able to run programs through others. An image without emulators needs it, too: Lima's script
// registers Rosetta there.
func binfmt(m *modules) error {
	if err := m.load("binfmt_misc"); err != nil {
		return err
	}
	return mountBinfmt(binfmtDir)
}

// mountBinfmt mounts the kernel's directory of interpreters where it is not: where nothing can be registered.
func mountBinfmt(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "register")); err == nil {
		return nil
	}
	if err := unix.Mount("binfmt_misc", dir, "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mounting binfmt_misc: %w", err)
	}
	return nil
}

// emulators registers the programs that run those of other processors with the kernel at binfmt.
func emulators(c *cidata, dir, binfmt string) error {
	lines, err := registrations(dir, c.env["ROSETTA_BINFMT"] == "true")
	errs := []error{err}
	for _, line := range lines {
		name, _, _ := strings.Cut(line[1:], line[:1])
		if _, err := os.Stat(filepath.Join(binfmt, name)); err == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(binfmt, "register"), []byte(line), 0); err != nil {
			errs = append(errs, fmt.Errorf("registering %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// registrations are the lines of binfmt.d(5) in dir. With Rosetta, which Lima's script registers, amd64 programs have no other
// emulator. That script leaves a line there for the next start, too; it is not taken, because the program is in a
// directory that is not shared yet, and because the script does it again.
func registrations(dir string, rosetta bool) (lines []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, file := range files {
		if name := filepath.Base(file); name == "rosetta.conf" || rosetta && name == "x86_64.conf" {
			continue
		}
		text, err := os.ReadFile(file)
		errs = append(errs, err)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				lines = append(lines, line)
			}
		}
	}
	return lines, errors.Join(errs...)
}
