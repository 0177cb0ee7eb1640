package emulate

import (
	"bytes"
	"debug/elf"
	"fmt"
	"strings"
	"testing"
)

func arch(t *testing.T, name string) Architecture {
	t.Helper()
	a, ok := Find(name)
	if !ok {
		t.Fatalf("%s is unknown", name)
	}
	return a
}

func TestEachProgramIsAProgram(t *testing.T) {
	machines := map[string]elf.Machine{
		"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "386": elf.EM_386,
		"riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390,
	}
	for _, a := range Architectures() {
		f, err := elf.NewFile(bytes.NewReader(a.Program()))
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
			continue
		}
		if f.Machine != machines[a.Name] || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Progs[0].Flags != elf.PF_R|elf.PF_X {
			t.Errorf("%s: %+v", a.Name, f.FileHeader)
		}
		text := make([]byte, len(a.exit))
		if _, err := f.Progs[0].ReadAt(text, int64(f.Entry-f.Progs[0].Vaddr)); err != nil || !bytes.Equal(text, a.exit) {
			t.Errorf("%s: at its entry is % x, %v", a.Name, text, err)
		}
	}
}

// The entry of an architecture runs its own programs, those that may lie anywhere included,
// and no other architecture's.
func TestAnEntryRunsItsOwnArchitectureAlone(t *testing.T) {
	for _, a := range Architectures() {
		e := entryOf(t, a, "x", "/qemu", Flags)
		for _, b := range Architectures() {
			if got, want := e.Runs(b), a.Name == b.Name; got != want {
				t.Errorf("%s's entry runs %s: %v", a.Name, b.Name, got)
			}
		}
		magic, mask := a.head()
		for i, c := range anywhere(a) {
			if i < len(magic) && (c^magic[i])&mask[i] != 0 {
				t.Errorf("%s: a position-independent program differs at byte %d", a.Name, i)
			}
		}
	}
}

// An entry may go by all that there is of a program, and by no more.
func TestAnEntryFitsIntoAProgram(t *testing.T) {
	a := Architectures()[0]
	whole := fmt.Sprintf("%x", a.Program())
	for magic, want := range map[string]bool{whole: true, whole + "00": false} {
		if got := ParseEntry("x", "enabled\noffset 0\nmagic "+magic+"\n").Runs(a); got != want {
			t.Errorf("an entry of %d of %d bytes runs it: %v", len(magic)/2, len(whole)/2, got)
		}
	}
}

// anywhere is the head of a position-independent program for GNU's interface.
func anywhere(a Architecture) []byte {
	head := append(a.identity(), a.order().AppendUint16(nil, typeDyn)...)
	head[7] = 3
	return head
}

// entryOf is what the kernel shows of an entry that was made by a Registration.
func entryOf(t *testing.T, a Architecture, name, interpreter, flags string) Entry {
	t.Helper()
	magic, mask := a.head()
	hex := func(b []byte) string { return strings.ReplaceAll(escape(b), `\x`, "") }
	return ParseEntry(name, "enabled\ninterpreter "+interpreter+"\nflags: "+flags+"\noffset 0\nmagic "+hex(magic)+"\nmask "+hex(mask)+"\n")
}

func TestRegistration(t *testing.T) {
	const want = `:linnet-1-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:` +
		`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:FCP`
	got, err := arch(t, "arm64").Registration("linnet-1-aarch64", "/usr/bin/qemu-aarch64-static")
	if got != want || err != nil {
		t.Errorf("got\n%s, %v, want\n%s", got, err, want)
	}
	got, err = arch(t, "s390x").Registration("n", "/a:b")
	if !strings.HasPrefix(got, `;n;M;;\x7fELF`[:7]) || !strings.HasSuffix(got, ";/a:b;FCP") || !strings.Contains(got, `\x00\x02\x00\x16;`) || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err = arch(t, "arm").Registration("n", "/a:;,|"); err == nil || err.Error() != "registering /a:;,|: the kernel does not take such a path" {
		t.Errorf("got %v", err)
	}
	if _, err = arch(t, "arm").Registration("n", "/"+strings.Repeat("a", 2000)); err == nil {
		t.Error("a path of 2000 bytes was taken")
	}
}

func TestWhatThePlatformNames(t *testing.T) {
	for platform, want := range map[string]string{
		"linux/arm64": "arm64", "arm64": "arm64", "aarch64": "arm64", "Linux/ARM64/v8": "arm64", "linux/x86_64": "amd64", "x86-64": "amd64",
		"linux/amd64/v3": "amd64", "linux/arm/v7": "arm", "armhf": "arm", "i686": "386", "linux/riscv64": "riscv64", "s390x": "s390x",
		"windows/amd64": "", "linux": "", "": "", "all": "", "linux/mips64": "", "darwin/arm64": "",
	} {
		if a, ok := OfPlatform(platform); a.Name != want || ok != (want != "") {
			t.Errorf("%q is %q", platform, a.Name)
		}
	}
}

func TestWhatIsForeign(t *testing.T) {
	for _, c := range []struct {
		host, platform string
		foreign        bool
	}{
		{"amd64", "linux/amd64", false},
		{"amd64", "linux/amd64/v2", false},
		{"amd64", "linux/386", false},
		{"amd64", "linux/arm64", true},
		{"amd64", "linux/arm/v7", true},
		{"arm64", "linux/arm/v7", false},
		{"arm64", "linux/amd64", true},
		{"386", "linux/amd64", true},
		{"amd64", "windows/arm64", false},
		{"amd64", "", false},
		{"m68k", "linux/arm64", false},
	} {
		if _, foreign := Foreign(c.host, c.platform); foreign != c.foreign {
			t.Errorf("%s on %s: %v", c.platform, c.host, foreign)
		}
	}
	a, _ := Foreign("amd64", "linux/arm64/v8")
	if got := Note(a, "amd64", "/usr/bin/qemu-aarch64-static"); got != "emulating linux/arm64 on amd64 with qemu-aarch64-static" {
		t.Errorf("the note is %q", got)
	}
}
