package emulate

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Entry is something that a kernel's binfmt_misc has been told.
type Entry struct {
	// Name is its file's.
	Name    string
	Enabled bool
	// Interpreter is the path of the program that is run, as it was when the entry was made.
	Interpreter string
	// Flags are letters, those that others imply included.
	Flags string
	// Extension, for an entry that goes by names of files, is what they end in.
	Extension string

	offset      int
	magic, mask []byte
}

// ParseEntry reads the file of an entry. One that goes by a file's extension runs nothing here.
func ParseEntry(name, text string) Entry {
	e := Entry{Name: name}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "enabled":
			e.Enabled = true
		case "interpreter":
			e.Interpreter = value
		case "flags:":
			e.Flags = value
		case "extension":
			e.Extension = strings.TrimPrefix(value, ".")
		case "offset":
			e.offset, _ = strconv.Atoi(value)
		case "magic":
			e.magic, _ = hex.DecodeString(value)
		case "mask":
			e.mask, _ = hex.DecodeString(value)
		}
	}
	return e
}

// Runs reports whether the kernel would run the architecture's programs by this entry.
func (e Entry) Runs(a Architecture) bool {
	program := a.Program()
	if !e.Enabled || len(e.magic) == 0 || e.offset < 0 || e.offset+len(e.magic) > len(program) {
		return false
	}
	for i, want := range e.magic {
		mask := byte(0xff)
		if i < len(e.mask) {
			mask = e.mask[i]
		}
		if (program[e.offset+i]^want)&mask != 0 {
			return false
		}
	}
	return true
}

// Has reports whether the entry has all of these flags.
func (e Entry) Has(flags string) bool {
	for _, f := range flags {
		if !strings.ContainsRune(e.Flags, f) {
			return false
		}
	}
	return true
}
