//go:build e2e

// Package scan looks for a secret where it must not be: in files, in files that are open
// but have no name any more, and on the command line of every process, however short-lived.
//
// A secret holds a Marker, and the scanner looks for that, so that it finds pieces of the
// secret too. It asserts nothing, and knows nothing of what it looks at.
package scan

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Marker is a random word of letters and digits, which every text encoding that escapes
// single characters (JSON, Go's %q, URLs, shells) leaves as it is.
type Marker string

// NewMarker makes a word that is nowhere yet.
func NewMarker() Marker { return Marker("canary" + rand.Text()) }

// form is one way in which a marker may be written down.
type form struct {
	name string
	text []byte
}

// forms are all ways we look for. Where base64 begins within what was encoded is unknown:
// there are three alignments, whose first and last characters depend on the neighbours.
func (m Marker) forms() []form {
	out := []form{
		{"plain", []byte(m)},
		{"hex", []byte(hex.EncodeToString([]byte(m)))},
		{"HEX", []byte(strings.ToUpper(hex.EncodeToString([]byte(m))))},
	}
	for shift := range 3 {
		padded := append(make([]byte, shift), m...)
		padded = padded[:len(padded)-len(padded)%3]
		text := base64.StdEncoding.EncodeToString(padded)
		if shift > 0 {
			text = text[4:]
		}
		out = append(out, form{"base64", []byte(text)})
		if url := strings.NewReplacer("+", "-", "/", "_").Replace(text); url != text {
			out = append(out, form{"base64url", []byte(url)})
		}
	}
	return out
}

// In says in which form the marker is in text, or "" when it is not there.
func (m Marker) In(text []byte) string {
	for _, f := range m.forms() {
		if bytes.Contains(text, f.text) {
			return f.name
		}
	}
	return ""
}

// Hit is a place where a marker was found.
type Hit struct {
	// Where is a path, or what else holds it.
	Where string
	// Form is how it is written there: plain, hex, base64, "gzip, plain", ...
	Form string
}

func (h Hit) String() string { return h.Where + " (" + h.Form + ")" }

// Files says where to look.
type Files struct {
	// Roots are files and directories; those that are not there hold nothing.
	Roots []string
	// Since leaves out files that were last changed before; zero leaves out none. It goes
	// by the time of the inode's change, which no process can set back.
	Since time.Time
	// Skip says which paths, with all below them, are not looked at; may be nil.
	Skip func(path string) bool
}

// Find returns every regular file that holds the marker, and how many it has read. A file
// that vanishes meanwhile holds nothing; any other error is returned.
func (f Files) Find(m Marker) (hits []Hit, read int, err error) {
	seen := map[[2]uint64]bool{} // device and inode: roots may overlap, and binds repeat
	for _, root := range f.Roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if gone(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if f.Skip != nil && f.Skip(path) {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if gone(err) {
				return nil
			}
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			id := [2]uint64{st.Dev, st.Ino}
			if seen[id] || time.Unix(st.Ctim.Unix()).Before(f.Since) {
				return nil
			}
			seen[id] = true
			read++
			hit, err := findInFile(path, m)
			if gone(err) {
				return nil
			}
			for _, form := range hit {
				hits = append(hits, Hit{path, form})
			}
			return err
		})
		if err != nil {
			return nil, read, fmt.Errorf("scanning %s: %w", root, err)
		}
	}
	return hits, read, nil
}

// gone reports whether there is nothing to read any more, or never was: a namespace that is bound
// to a file below /run/netns answers EINVAL.
func gone(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.ESRCH)
}

func findInFile(path string, m Marker) (forms []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	magic, _ := r.Peek(4)
	forms, err = findInStream(r, m)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			return forms, nil // it only begins like a compressed file
		}
		inside, err := findInStream(unpacked, m)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("unpacking %s: %w", path, err)
		}
		for _, form := range inside {
			forms = append(forms, "gzip, "+form)
		}
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, fmt.Errorf("%s is compressed with zstd, which the scanner cannot look into", path)
	}
	return forms, nil
}

// findInStream reads to the end, in pieces that overlap by more than any form is long.
func findInStream(r io.Reader, m Marker) (found []string, err error) {
	forms := m.forms()
	overlap := 0
	for _, f := range forms {
		overlap = max(overlap, len(f.text))
	}
	buf := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for _, f := range forms {
			if bytes.Contains(buf, f.text) && !slices.Contains(found, f.name) {
				found = append(found, f.name)
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n == 0 {
			return found, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		keep := min(overlap, len(buf))
		buf = buf[:copy(buf, buf[len(buf)-keep:])]
	}
}
