package lima

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/lima/limatest"
)

func TestWhatAKernelSaysUnderKVMIsJudged(t *testing.T) {
	for _, c := range []struct {
		name, said string
		code       int
		err        error
		want       string
	}{
		{"it boots", "[    0.000000] Linux version 6.12\n...\n[    0.9] Kernel panic - not syncing: VFS: Unable to mount root fs\n", 0, nil, ""},
		{"it says nothing", "", -1, context.DeadlineExceeded, "under KVM a guest's kernel says nothing for 10s"},
		{"it hangs", "[    0.000000] Linux version 6.12\n[    0.1] smp\n", 143, context.DeadlineExceeded, "under KVM a guest's kernel does not boot within 10s"},
		{"QEMU fails", "Could not access KVM kernel module: No such device\nqemu-system-x86_64: failed to initialize kvm: No such device\n\n", 1, nil, "QEMU with KVM ends with code 1: qemu-system-x86_64: failed to initialize kvm: No such device"},
		{"QEMU aborts", "", 134, nil, "QEMU with KVM ends with code 134: "},
	} {
		if got := verdict(c.said, c.code, c.err); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// fakeQEMU puts a program in the place of QEMU that says a version and, when it is to boot,
// counts that and does as it is told.
func (m machine) fakeQEMU(t *testing.T, version, boot string) (boots func() int) {
	t.Helper()
	count := filepath.Join(t.TempDir(), "boots")
	m.check(t, limatest.WriteProgram(filepath.Join(m.fake.Programs(), "qemu-system-x86_64"),
		"#!/bin/sh\nif [ \"$1\" = --version ]; then echo "+version+"; exit; fi\necho >> "+count+"\n"+boot+"\n"))
	return func() int {
		text, _ := os.ReadFile(count)
		return len(text)
	}
}

// What was found out is remembered, the warning is given once, and both are had anew when
// something that matters is another.
func TestKVMIsTriedOnceForEachKernelQEMUAndImage(t *testing.T) {
	m := newMachine(t)
	m.kvm = os.DevNull
	c := choice{arch: amd64, image: Image{Key: "one", Kernel: "/kernel"}}
	boots := m.fakeQEMU(t, "QEMU 7", "echo 'it does not like it'; exit 1")
	for range 2 {
		if got := m.accelerator(t.Context(), c); got != "tcg" {
			t.Errorf("with one that fails it is %s", got)
		}
	}
	want := []string{"the virtual machine is emulated, which is slow: QEMU with KVM ends with code 1: it does not like it; set vm.accelerator to kvm to take it all the same, or to tcg to hear no more of it"}
	if boots() != 1 || !slices.Equal(*m.warned, want) {
		t.Errorf("%d boots, warned %q", boots(), *m.warned)
	}
	m.fakeQEMU(t, "QEMU 8", "echo Linux version 6; echo Kernel panic")
	if got := m.accelerator(t.Context(), c); got != "kvm" {
		t.Errorf("with another QEMU it is %s", got)
	}
	boots = m.fakeQEMU(t, "QEMU 8", "exit 1")
	if got := m.accelerator(t.Context(), c); got != "kvm" || boots() != 0 {
		t.Errorf("the same QEMU: %s, %d boots", got, boots())
	}
	c.image.Key = "two"
	if got := m.accelerator(t.Context(), c); got != "tcg" || boots() != 1 {
		t.Errorf("with another image it is %s, %d boots", got, boots())
	}
	m.o.Facts.Kernel = "7.0"
	if m.accelerator(t.Context(), c); boots() != 2 {
		t.Errorf("with another kernel there are %d boots", boots())
	}
	if len(*m.warned) != 3 {
		t.Errorf("warned %q", *m.warned)
	}
}

func TestAnInterruptedTrialIsNotRemembered(t *testing.T) {
	m := newMachine(t)
	m.kvm = os.DevNull
	ctx, cancel := context.WithCancel(t.Context())
	boots := m.fakeQEMU(t, "QEMU 7", "while :; do sleep 0.1; done")
	go func() {
		_ = until(ctx, func() bool { return boots() > 0 })
		cancel()
	}()
	m.accelerator(ctx, choice{arch: amd64, image: Image{Key: "one"}})
	if _, err := os.Stat(m.o.Layout.Accelerator()); !errors.Is(err, os.ErrNotExist) || len(*m.warned) > 0 {
		t.Errorf("remembered (%v), warned %q", err, *m.warned)
	}
}

func TestADeviceIsThereOrNot(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := device(there); d != "there" {
		t.Errorf("it is %s", d)
	}
	if d := device(filepath.Join(dir, "nosuch")); d != "absent" {
		t.Errorf("none is %s", d)
	}
	if err := os.Chmod(there, 0); err != nil {
		t.Fatal(err)
	}
	if d := device(there); os.Getuid() != 0 && d != "denied" {
		t.Errorf("one that is closed is %s", d)
	}
	for _, d := range []string{"there", "absent", "denied"} {
		if deviceHint(d) == "" || strings.HasSuffix(deviceHint(d), ".") {
			t.Errorf("%s: %q", d, deviceHint(d))
		}
	}
}
