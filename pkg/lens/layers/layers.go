// Package layers makes an index of an image's layer in one pass over its archive. Its memory does not grow with the size of files: of each
// it reads what the rules need, and remembers what is in it, not its bytes. It must not know where a layer comes from.
package layers

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/linnet-dev/linnet/pkg/lens"
)

const (
	// head is how much of a file is looked at for secrets, in bytes.
	head = 256 << 10
	// buffer is how much is read at once, in bytes: each read through a guest's socket has its own cost.
	buffer = 1 << 20
	// mostEntries bounds the index, and mostDatabase a package manager's data base, in bytes.
	mostEntries  = 1_000_000
	mostDatabase = 32 << 20
	// window bounds what a layer's zstd may have its reader keep, in bytes.
	window = 64 << 20
)

// seed makes sums that can be compared within this process.
var seed = maphash.MakeSeed()

// Read makes the index of a layer: a tar archive, as it is or packed with gzip or zstd.
func Read(packed io.Reader) (*lens.Layer, error) {
	plain, end, err := unpack(bufio.NewReaderSize(packed, buffer))
	if err != nil {
		return nil, err
	}
	defer end()
	r := &reader{tar: tar.NewReader(plain), layer: &lens.Layer{}, head: make([]byte, head), rest: make([]byte, 64<<10)}
	for {
		h, err := r.tar.Next()
		if errors.Is(err, io.EOF) {
			// What comes behind the archive's end is read as well: who writes it may wait for that.
			if _, err := io.Copy(io.Discard, plain); err != nil {
				return nil, err
			}
			return r.layer, nil
		}
		if err != nil {
			return nil, err
		}
		if len(r.layer.Entries) == mostEntries {
			return nil, fmt.Errorf("it has more than %d entries", mostEntries)
		}
		if err := r.add(h); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// unpack is the archive in what is perhaps packed. It is unpacked ahead of its reader, so that two processors share the work.
func unpack(b *bufio.Reader) (plain io.Reader, end func(), err error) {
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, err
		}
		a := readAhead(z)
		return a, a.stop, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, nil, err
		}
		return bufio.NewReaderSize(z, buffer), z.Close, nil
	}
	return b, func() {}, nil
}

type reader struct {
	tar        *tar.Reader
	layer      *lens.Layer
	head, rest []byte
	hash       maphash.Hash
}

// kinds are those that archives have more than one of for the same.
func kind(flag byte) byte {
	if flag == 0 || flag == tar.TypeGNUSparse || flag == tar.TypeCont {
		return tar.TypeReg
	}
	return flag
}

func (r *reader) add(h *tar.Header) error {
	e := lens.Entry{
		Path: path.Clean("/" + h.Name)[1:], Link: h.Linkname, Size: h.Size, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid, Kind: kind(h.Typeflag),
	}
	if e.Kind == tar.TypeLink {
		e.Link, e.Size = path.Clean("/" + e.Link)[1:], 0
	}
	if _, ok := h.PAXRecords["SCHILY.xattr.security.capability"]; ok {
		e.Detail = &lens.Detail{Capabilities: true}
	}
	if e.Kind == tar.TypeReg && e.Size > 0 {
		if err := r.content(&e); err != nil {
			return err
		}
		r.layer.Size += e.Size
	}
	r.layer.Entries = append(r.layer.Entries, e)
	return nil
}

// content reads a file: its head for what it is, all of it for its sum.
func (r *reader) content(e *lens.Entry) error {
	n, err := io.ReadFull(r.tar, r.head[:min(int64(len(r.head)), e.Size)])
	if err != nil {
		return err
	}
	text := r.head[:n]
	var d lens.Detail
	if e.Detail != nil {
		d = *e.Detail
	}
	r.hash.SetSeed(seed)
	_, _ = r.hash.Write(text) // never fails
	if isDatabase(e.Path) {
		d.Packages, err = packages(io.LimitReader(io.MultiReader(bytes.NewReader(text), io.TeeReader(r.tar, &r.hash)), mostDatabase))
		if err != nil {
			return err
		}
	}
	if _, err := io.CopyBuffer(&r.hash, onlyReader{r.tar}, r.rest); err != nil {
		return err
	}
	e.Sum = r.hash.Sum64() | 1
	if bytes.HasPrefix(text, []byte("\x7fELF")) {
		d.Machine, d.Loader = elf(text)
	} else {
		d.Secrets = lens.SecretsIn(e.Path, text)
		if e.Mode&0o111 != 0 {
			d.Loader, d.Script = interpreter(text)
		}
	}
	if d.Capabilities || d.Machine != 0 || d.Script || len(d.Secrets) > 0 || len(d.Packages) > 0 {
		e.Detail = &d
	}
	return nil
}

// onlyReader hides that a reader could write itself: what it is given as a buffer is used then.
type onlyReader struct{ io.Reader }

// interpreter is what a script's first line names.
func interpreter(text []byte) (program string, script bool) {
	rest, ok := bytes.CutPrefix(text, []byte("#!"))
	if !ok {
		return "", false
	}
	line, _, _ := bytes.Cut(rest[:min(len(rest), 256)], []byte{'\n'})
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return "", false
	}
	return words[0], true
}
