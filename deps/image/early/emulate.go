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

// emulators registers the programs that run those of other processors: the lines of binfmt.d(5).
func emulators(m *modules, dir string) error {
	// Also where the image has none: Lima's script registers Rosetta there.
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		return err
	}
	if err := m.load("binfmt_misc"); err != nil {
		return err
	}
	if !mounted(binfmtDir) {
		if err := unix.Mount("binfmt_misc", binfmtDir, "binfmt_misc", 0, ""); err != nil {
			return fmt.Errorf("mounting binfmt_misc: %w", err)
		}
	}
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		errs = append(errs, err)
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			name, _, _ := strings.Cut(line[1:], line[:1])
			if _, err := os.Stat(filepath.Join(binfmtDir, name)); err == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(binfmtDir, "register"), []byte(line), 0); err != nil {
				errs = append(errs, fmt.Errorf("registering %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}
