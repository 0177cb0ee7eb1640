//go:build linux

package main

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Where the image has no emulator of its own, Lima registers Rosetta with the kernel, which has to be able to.
func TestTheKernelTakesEmulatorsWhereTheImageHasNone(t *testing.T) {
	m := &modules{dir: t.TempDir(), deps: map[string][]string{"binfmt_misc": {"binfmt_misc.ko"}}, loaded: map[string]*sync.Once{}}
	err := binfmt(m)
	if err == nil || !strings.Contains(err.Error(), "binfmt_misc.ko") {
		t.Errorf("binfmt_misc was not asked for: %v", err)
	}
}

func TestEachEmulatorIsRegisteredOnce(t *testing.T) {
	c, dir, kernel := testCIData(t), t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"dir/aarch64.conf": "# why\n\n:qemu-aarch64:M::a:b:/qemu-aarch64:FCP\n", "dir/x86_64.conf": ":qemu-x86_64:M::c:d:/qemu-x86_64:FCP",
		"dir/rosetta.conf": ":rosetta:M::c:d:/mnt/lima-rosetta/rosetta:OCF\n", "kernel/qemu-aarch64": "enabled\n", "kernel/register": "",
	} {
		below, name, _ := strings.Cut(name, "/")
		to := map[string]string{"dir": dir, "kernel": kernel}[below]
		if err := os.WriteFile(filepath.Join(to, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	register := func() string {
		t.Helper()
		if err := emulators(c, dir, kernel); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(kernel, "register"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	c.env["ROSETTA_BINFMT"] = "true"
	if got := register(); got != "" {
		t.Errorf("beside Rosetta: %q", got)
	}
	c.env["ROSETTA_BINFMT"] = "false"
	if got, want := register(), ":qemu-x86_64:M::c:d:/qemu-x86_64:FCP"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The image's lines: the head of a program of that processor is taken, of another not, and the entry has the name that nerdctl looks for.
func TestRegistrationsAreForTheirProcessor(t *testing.T) {
	lines, err := registrations("../files/usr/lib/binfmt.d", false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range lines {
		f := strings.Split(line, ":")
		if len(f) != 8 || f[2] != "M" || f[6] != "/usr/libexec/linnet/emulators/"+f[1] || f[7] != "FCP" {
			t.Fatalf("%q", line)
		}
		magic, mask := unescape(t, f[4]), unescape(t, f[5])
		for name, machine := range map[string]elf.Machine{"qemu-aarch64": elf.EM_AARCH64, "qemu-x86_64": elf.EM_X86_64} {
			head := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00") // a position-independent one
			head[18] = byte(machine)
			taken := true
			for i := range magic {
				taken = taken && head[i]&mask[i] == magic[i]
			}
			if taken != (name == f[1]) {
				t.Errorf("%s takes a program of %s: %v", f[1], machine, taken)
			}
		}
		got = append(got, f[1])
	}
	if want := []string{"qemu-aarch64", "qemu-x86_64"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func unescape(t *testing.T, text string) []byte {
	t.Helper()
	plain, err := strconv.Unquote(`"` + text + `"`)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(plain)
}
