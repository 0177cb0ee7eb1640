package native

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/linnet-dev/linnet/pkg/emulate"
)

// A static emulator goes before one that needs libraries, wherever they are; else the first is it.
func TestWhichEmulatorIsTaken(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	arm, _ := emulate.Find("arm64")
	static := arm.Program()
	dynamic := append([]byte(nil), static...)
	dynamic[64] = 3 // the segment becomes a PT_INTERP
	put := func(path string, text []byte, mode os.FileMode) {
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(first, "qemu-aarch64"), dynamic, 0o755)
	put(filepath.Join(second, "qemu-aarch64-static"), static, 0o755)
	put(filepath.Join(first, "qemu-x86_64"), static, 0o755)
	put(filepath.Join(second, "qemu-x86_64"), static, 0o755)
	put(filepath.Join(first, "qemu-arm"), dynamic, 0o755)
	put(filepath.Join(first, "qemu-riscv64"), static, 0o644)
	put(filepath.Join(first, "qemu-s390x"), []byte("#!/bin/sh\n"), 0o755)
	want := map[string]emulate.Emulator{
		"arm64": {Path: filepath.Join(second, "qemu-aarch64-static"), Static: true},
		"amd64": {Path: filepath.Join(first, "qemu-x86_64"), Static: true},
		"arm":   {Path: filepath.Join(first, "qemu-arm")},
		"s390x": {Path: filepath.Join(first, "qemu-s390x")},
	}
	if got := emulators([]string{first, "relative", second, "/nonexistent"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if got := searched([]string{"PATH=/a:/b", "X=y"}); !reflect.DeepEqual(got, []string{"/a", "/b", "/usr/local/bin", "/usr/bin"}) {
		t.Errorf("searched in %v", got)
	}
}
