//go:build linux

package main

import (
	"strings"
	"sync"
	"testing"
)

// Where the image has no emulator of its own, Lima registers Rosetta with the kernel, which has to be able to.
func TestTheKernelTakesEmulatorsWhereTheImageHasNone(t *testing.T) {
	dir := t.TempDir()
	m := &modules{dir: dir, deps: map[string][]string{"binfmt_misc": {"binfmt_misc.ko"}}, loaded: map[string]*sync.Once{}}
	err := emulators(m, dir)
	if err == nil || !strings.Contains(err.Error(), "binfmt_misc.ko") {
		t.Errorf("binfmt_misc was not asked for: %v", err)
	}
}
