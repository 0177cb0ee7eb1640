package emulate

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Where the kernel puts a Program. Every architecture can, whatever its page's size.
const base, page = 0x400000, 0x10000

// identity is e_ident, the first 16 bytes of a program (elf(5)): magic, class, byte order,
// version; then whose interface it is made for, which is 0 here.
func (a Architecture) identity() []byte {
	ident := make([]byte, 16)
	copy(ident, "\x7fELF")
	ident[4], ident[5], ident[6] = a.class, a.data, 1
	return ident
}

func (a Architecture) order() interface {
	binary.ByteOrder
	binary.AppendByteOrder
} {
	if a.data == bigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Program is the smallest program there is for the architecture: it needs no library and no
// file, and exits with the id of the user that it runs as (the lowest eight bits of it). As a
// setuid program it so tells whether that counts.
func (a Architecture) Program() []byte {
	order := a.order()
	half := func(b []byte, v uint16) []byte { return order.AppendUint16(b, v) }
	word := func(b []byte, v uint32) []byte { return order.AppendUint32(b, v) }
	addr := func(b []byte, v uint64) []byte { return order.AppendUint64(b, v) }
	headSize, segmentSize := uint64(64), uint64(56)
	if a.class == bits32 {
		addr = func(b []byte, v uint64) []byte { return order.AppendUint32(b, uint32(v)) }
		headSize, segmentSize = 52, 32
	}
	text := headSize + segmentSize // where the instructions begin
	size := text + uint64(len(a.exit))

	b := a.identity()
	b = half(b, typeExec)
	b = half(b, a.machine)
	b = word(b, 1)         // e_version
	b = addr(b, base+text) // e_entry
	b = addr(b, headSize)  // e_phoff
	b = addr(b, 0)         // e_shoff: no sections
	b = word(b, a.flags)
	b = half(b, uint16(headSize))
	b = half(b, uint16(segmentSize))
	b = half(b, 1) // e_phnum
	b = half(half(half(b, 0), 0), 0)

	// The one segment is the whole file, to be read and executed. Its flags stand in another
	// place where addresses have 32 bits.
	const load, readExec = 1, 5
	b = word(b, load)
	if a.class == bits64 {
		b = word(b, readExec)
	}
	b = addr(b, 0)                // p_offset
	b = addr(addr(b, base), base) // p_vaddr, p_paddr
	b = addr(addr(b, size), size) // p_filesz, p_memsz
	if a.class == bits32 {
		b = word(b, readExec)
	}
	b = addr(b, page) // p_align
	return append(b, a.exit...)
}

// The kinds of ELF file that are programs; the second is one that may lie anywhere.
const typeExec, typeDyn uint16 = 2, 3

// head is what binfmt_misc compares the beginning of a program with, and mask which bits of it
// count: all of identity but the interface, the type but for its last bit, and the machine.
func (a Architecture) head() (magic, mask []byte) {
	order := a.order()
	magic = order.AppendUint16(order.AppendUint16(a.identity(), typeExec), a.machine)
	mask = []byte(strings.Repeat("\xff", 16))
	mask[7] = 0
	mask = order.AppendUint16(order.AppendUint16(mask, ^(typeExec^typeDyn)), 0xffff)
	return magic, mask
}

// Flags are those that an entry needs for programs to run in containers as they would by
// themselves. F: the kernel opens the emulator when it is registered, so that no container needs
// to have it. C: with the rights of the program instead of the emulator's, so that setuid
// programs work. P: the program's own name for itself arrives (login shells go by it).
const Flags = "FCP"

// Registration is the line that makes the kernel run the architecture's programs through an
// interpreter (the kernel's admin-guide/binfmt-misc). The name may have no slash.
func (a Architecture) Registration(name, interpreter string) (string, error) {
	magic, mask := a.head()
	for _, separator := range []string{":", ";", ",", "|"} {
		if !strings.Contains(name+interpreter, separator) {
			line := strings.Join([]string{"", name, "M", "", escape(magic), escape(mask), interpreter, Flags}, separator)
			if len(line) > 1920 { // MAX_REGISTER_LENGTH
				break
			}
			return line, nil
		}
	}
	return "", fmt.Errorf("registering %s: the kernel does not take such a path", interpreter)
}

// Sign is the line for an entry that only has a name: it is about files whose names end in the
// extension, of which there are none.
func Sign(name, extension, interpreter string) string {
	return ":" + name + ":E::" + extension + "::" + interpreter + ":"
}

func escape(text []byte) string {
	var b strings.Builder
	for _, c := range text {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}
