// Package emulate decides which processors' programs a machine runs, and how: by itself, through
// an emulator that its kernel's binfmt_misc knows, or not at all and for want of what.
//
// It exists so that this is decided in one place and from facts alone: the same for this host
// and for a virtual machine, and the same for who asks, who enables, and who only wants to tell
// the user. It holds what has to be known of each processor (the head of its programs, a
// smallest program, its emulator's name), the question that is put to a machine as a shell
// script, and what follows from the answer. It must not know which machine that is, nor how a
// command gets there, and it changes nothing anywhere.
package emulate

import (
	"slices"
	"strings"
)

// Architecture is a kind of processor.
type Architecture struct {
	// Name is as in a platform: arm64.
	Name string
	// Machine is the kernel's and QEMU's name: aarch64. The emulator is qemu-<Machine>.
	Machine string

	// What a program for it has at its head (elf(5)): EI_CLASS and EI_DATA, e_machine, and
	// the e_flags that its kernel and QEMU insist on.
	class, data byte
	machine     uint16
	flags       uint32
	// exit is the program's whole text: exit(geteuid()).
	exit []byte
}

// The values of EI_CLASS and EI_DATA.
const (
	bits32, bits64                 = 1, 2
	littleEndian, bigEndian        = 1, 2
	armEABI5                uint32 = 0x05000000
	ppcELFv2                uint32 = 2
)

// Architectures are all that is known, in the order in which they are shown. Each has system
// calls of its own: numbers and registers are those of syscall(2) and of the kernel's tables.
func Architectures() []Architecture {
	return []Architecture{
		{Name: "amd64", Machine: "x86_64", class: bits64, data: littleEndian, machine: 62, exit: []byte{
			0xb8, 107, 0, 0, 0, // mov eax, geteuid
			0x0f, 0x05, // syscall
			0x89, 0xc7, // mov edi, eax
			0xb8, 60, 0, 0, 0, // mov eax, exit
			0x0f, 0x05, // syscall
		}},
		{Name: "arm64", Machine: "aarch64", class: bits64, data: littleEndian, machine: 183, exit: words(
			0xd2800008|175<<5, // mov x8, geteuid
			0xd4000001,        // svc 0; the answer and the exit code are both in x0
			0xd2800008|93<<5,  // mov x8, exit
			0xd4000001,
		)},
		{Name: "arm", Machine: "arm", class: bits32, data: littleEndian, machine: 40, flags: armEABI5, exit: words(
			0xe3a07000|201, // mov r7, geteuid32
			0xef000000,     // svc 0; both in r0
			0xe3a07000|1,   // mov r7, exit
			0xef000000,
		)},
		{Name: "386", Machine: "i386", class: bits32, data: littleEndian, machine: 3, exit: []byte{
			0xb8, 201, 0, 0, 0, // mov eax, geteuid32
			0xcd, 0x80, // int 0x80
			0x89, 0xc3, // mov ebx, eax
			0xb8, 1, 0, 0, 0, // mov eax, exit
			0xcd, 0x80, // int 0x80
		}},
		{Name: "riscv64", Machine: "riscv64", class: bits64, data: littleEndian, machine: 243, exit: words(
			0x00000893|175<<20, // li a7, geteuid
			0x00000073,         // ecall; both in a0
			0x00000893|93<<20,  // li a7, exit
			0x00000073,
		)},
		{Name: "ppc64le", Machine: "ppc64le", class: bits64, data: littleEndian, machine: 21, flags: ppcELFv2, exit: words(
			0x38000000|49, // li r0, geteuid
			0x44000002,    // sc; both in r3
			0x38000000|1,  // li r0, exit
			0x44000002,
		)},
		{Name: "s390x", Machine: "s390x", class: bits64, data: bigEndian, machine: 22, exit: []byte{
			0xa7, 0x19, 0, 201, // lghi r1, geteuid
			0x0a, 0, // svc 0: the number is in r1; both in r2
			0x0a, 1, // svc exit
		}},
	}
}

// words are instructions of four bytes each, little end first.
func words(instructions ...uint32) (text []byte) {
	for _, i := range instructions {
		text = append(text, byte(i), byte(i>>8), byte(i>>16), byte(i>>24))
	}
	return text
}

// Find returns the architecture of that name, in any of its usual spellings.
func Find(name string) (Architecture, bool) {
	name = strings.ToLower(name)
	for _, a := range Architectures() {
		if a.Name == name || a.Machine == name || slices.Contains(spellings[a.Name], name) {
			return a, true
		}
	}
	return Architecture{}, false
}

// spellings are further names that people, uname(2) and registries use.
var spellings = map[string][]string{
	"amd64": {"x86-64"},
	"arm":   {"armhf", "armel", "armv6l", "armv7l", "armv8l"},
	"386":   {"i486", "i586", "i686"},
}

// OfPlatform returns the architecture that a platform ("linux/arm64/v8", "arm64") names. ok is
// false for what has none, is unknown here, or is not Linux's: the engine judges that.
func OfPlatform(platform string) (a Architecture, ok bool) {
	parts := strings.Split(platform, "/")
	if len(parts) == 1 {
		return Find(parts[0])
	}
	if !strings.EqualFold(parts[0], "linux") {
		return a, false
	}
	return Find(parts[1])
}

// Foreign returns the architecture of a platform if a processor of the host's kind does not run
// its programs by itself. One that runs an older, smaller architecture too (386 on amd64, arm
// on arm64) is taken at its word.
func Foreign(host, platform string) (a Architecture, foreign bool) {
	h, known := Find(host)
	a, ok := OfPlatform(platform)
	if !known || !ok || a.Name == h.Name || smaller[h.Name] == a.Name {
		return Architecture{}, false
	}
	return a, true
}

// smaller is the architecture that one runs beside its own.
var smaller = map[string]string{"amd64": "386", "arm64": "arm"}

// Note is what the user is told, once, when something will be emulated. by is the
// interpreter's path or name.
func Note(a Architecture, host, by string) string {
	return "emulating linux/" + a.Name + " on " + host + " with " + by[strings.LastIndexByte(by, '/')+1:]
}
