package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// ProgramID says which program a linnet-agent file is, for any architecture and on any
// system: two files with the same one do the same. It is what the linker has noted of the
// contents, so that a large file need not be read; an agent says it in InfoReply.Program.
func ProgramID(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("identifying the agent's program: %w", err)
	}
	defer f.Close()
	head := make([]byte, programHead)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("identifying %s: %w", path, err)
	}
	id, ok := buildID(head[:n])
	if !ok {
		return "", fmt.Errorf("identifying %s: it is no program for Linux built with Go", path)
	}
	return id, nil
}

// programHead is how far into a program its notes are; Go's linker puts them first.
const programHead = 32 << 10

// goNote begins an ELF note of Go's: the lengths of its name and of the text (which differs),
// its type (4: the build's identifier), its name.
var goNote = []byte("\x04\x00\x00\x00Go\x00\x00")

// buildID finds the note in the head of a 64-bit little-endian ELF file, as Go's own tools do.
func buildID(head []byte) (string, bool) {
	if !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return "", false
	}
	at := bytes.Index(head, goNote)
	if at < 8 || binary.LittleEndian.Uint32(head[at-8:]) != 4 {
		return "", false
	}
	size, text := int(binary.LittleEndian.Uint32(head[at-4:])), head[at+len(goNote):]
	if size == 0 || size > len(text) {
		return "", false
	}
	return string(text[:size]), true
}
