//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newDisk makes a file with a file system as the data disk has it.
func newDisk(t *testing.T, setup ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	err := os.WriteFile(file, nil, 0o600)
	if err == nil {
		err = os.Truncate(file, 64<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	adminPrograms(t)
	if err := format(t.Context(), file); err != nil {
		t.Skip(err)
	}
	for _, request := range setup {
		if out, err := exec.Command("debugfs", "-w", "-R", request, file).CombinedOutput(); err != nil {
			t.Skipf("debugfs: %v: %s", err, out)
		}
	}
	return file
}

// adminPrograms are found by this test as they are in the guest: Debian's ordinary users have no sbin in PATH.
func adminPrograms(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
}

// e2fsck says by a code of its own that it has mended something: that is no failure. What it cannot mend is.
func TestADataDiskThatWasMendedIsTaken(t *testing.T) {
	file := newDisk(t, "sif <2> links_count 9", "set_super_value state 3")
	if sb, err := readExt4(file); err != nil || !sb.broken {
		t.Fatalf("it is %+v (%v)", sb, err)
	}
	if err := repair(t.Context(), file); err != nil {
		t.Error(err)
	}
	if sb, err := readExt4(file); err != nil || sb.broken {
		t.Errorf("it is %+v (%v)", sb, err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if repair(t.Context(), file) == nil {
		t.Error("what is no file system was mended")
	}
}

// A machine that is switched off while the disk's file system is made finds it again and makes it anew; a disk that
// was finished is never taken for one, whatever becomes of it.
func TestADiskThatWasNotFinishedIsBlank(t *testing.T) {
	unfinished := func(file string) {
		t.Helper()
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
			t.Fatal(err)
		}
	}
	ours := newDisk(t)
	if sb, err := readExt4(ours); err != nil || sb.used || !isMarked(ours) {
		t.Errorf("it is %+v, marked %v (%v)", sb, isMarked(ours), err)
	}
	if device, blank, err := chooseDataDisk([]string{ours}); device != ours || blank || err != nil {
		t.Errorf("one that was just finished: %s, blank %v (%v)", device, blank, err)
	}
	unfinished(ours)
	if device, blank, err := chooseDataDisk([]string{ours}); device != ours || !blank || err != nil {
		t.Errorf("one that was not finished: %s, blank %v (%v)", device, blank, err)
	}
	finished := newDisk(t)
	if err := mark(finished, strings.Repeat("\x00", len(being))); err != nil {
		t.Fatal(err)
	}
	unfinished(finished)
	if _, blank, err := chooseDataDisk([]string{finished}); blank || err == nil {
		t.Errorf("one that lost its superblock: blank %v (%v)", blank, err)
	}
	mounted := newDisk(t, "set_super_value mtime 20260101")
	if sb, err := readExt4(mounted); err != nil || !sb.used {
		t.Errorf("one that was mounted: %+v (%v)", sb, err)
	}
}
