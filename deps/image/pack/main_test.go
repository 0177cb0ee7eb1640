package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestAnImageIsPackedWithItsDigest(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "dist")
	for _, name := range []string{"manifest.json", "cmdline", "disk.raw", "initrd", "kernel"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := run([]string{"-version", "v1.2.3", "-arch", "arm64", "-from", from, "-to", to}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	const name = "linnet-guest-1.2.3-arm64.tar.zst"
	data, err := os.ReadFile(filepath.Join(to, name))
	if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name); err != nil || out.String() != want {
		t.Errorf("%v: printed %q, want %q", err, out.String(), want)
	}
	if err := os.Remove(filepath.Join(from, "kernel")); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-version", "2", "-arch", "arm64", "-from", from, "-to", to}, &out, io.Discard); err == nil {
		t.Error("an image without a kernel is packed")
	}
	if entries, err := os.ReadDir(to); err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

func TestItsMistakesAreTold(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "-version is missing"},
		{[]string{"-version", "1", "-arch", "riscv64"}, `unknown architecture "riscv64": amd64 or arm64`},
	} {
		if err := run(c.args, io.Discard, io.Discard); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v", c.args, err)
		}
	}
}
