package layers

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/linnet-dev/linnet/pkg/lens"
)

// elf is an ELF file's machine, and the loader that its program headers name. Source: System V ABI, chapters 4 and 5.
func elf(text []byte) (machine uint16, loader string) {
	const headers, entry, interp = 64, 56, 3 // of the 64-bit form
	if len(text) < headers || text[4] != 2 {
		if len(text) >= 20 && (text[5] == 1 || text[5] == 2) {
			return order(text).Uint16(text[18:]), ""
		}
		return 0, ""
	}
	o := order(text)
	machine = o.Uint16(text[18:])
	at, n := o.Uint64(text[32:]), o.Uint16(text[56:])
	for range n {
		if at > uint64(len(text))-entry {
			return machine, ""
		}
		p := text[at : at+entry]
		at += entry
		if o.Uint32(p) != interp {
			continue
		}
		from, size := o.Uint64(p[8:]), o.Uint64(p[32:])
		if size > 4096 || from > uint64(len(text)) || size > uint64(len(text))-from {
			return machine, ""
		}
		return machine, string(bytes.TrimRight(text[from:from+size], "\x00"))
	}
	return machine, ""
}

func order(text []byte) binary.ByteOrder {
	if text[5] == 2 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// isDatabase reports whether a file is one in which dpkg or apk says what is installed.
func isDatabase(name string) bool {
	switch name {
	case "var/lib/dpkg/status", "lib/apk/db/installed", "usr/lib/apk/db/installed":
		return true
	}
	return path.Dir(name) == "var/lib/dpkg/status.d" && !strings.HasSuffix(name, ".md5sums")
}

// packages reads such a file: paragraphs of lines "Package: NAME" and "Version: V" of dpkg's, or "P:NAME" and "V:V" of apk's.
func packages(r io.Reader) (all []lens.Package, err error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var p lens.Package
	removed := false
	keep := func() {
		if p.Name != "" && !removed {
			all = append(all, p)
		}
		p, removed = lens.Package{}, false
	}
	for {
		line, long, err := lines.ReadLine()
		if errors.Is(err, io.EOF) {
			keep()
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		switch {
		case len(line) == 0:
			keep()
		case long || !ok:
		case string(name) == "Package" || string(name) == "P":
			p.Name = strings.TrimSpace(string(value))
		case string(name) == "Version" || string(name) == "V":
			p.Version = strings.TrimSpace(string(value))
		case string(name) == "Status":
			removed = !bytes.HasSuffix(bytes.TrimSpace(value), []byte(" installed"))
		}
	}
}
