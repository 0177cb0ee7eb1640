package guestimage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// malformedError is what is wrong with a packed form.
type malformedError struct{ error }

func (e *malformedError) Unwrap() error { return e.error }

// Hint is what to do about it.
func (*malformedError) Hint() string {
	return "take an image that `make image` has made and packed; this one is not used"
}

func malformed(format string, args ...any) error {
	return &malformedError{fmt.Errorf("it is no image: "+format, args...)}
}

// unpack makes the directory of a packed form. What it takes of it is a closed list of names, each once, regular files alone,
// in bounded sizes; modes, owners and times are none of its affair. Where a block is all zeros, disk.raw has a hole. room is
// asked, with a number of bytes, before anything large is written.
func unpack(r io.Reader, dir string, room func(need int64) error) error {
	plain, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return malformed("%w", err)
	}
	defer plain.Close()
	archive := tar.NewReader(plain)
	seen := map[string]bool{}
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return malformed("%w", err)
		}
		if err := checkEntry(head, seen); err != nil {
			return err
		}
		seen[head.Name] = true
		if err := unpackPart(archive, head, dir); err != nil {
			return err
		}
		if head.Name == manifest {
			if err := checkRoom(filepath.Join(dir, manifest), room); err != nil {
				return err
			}
		}
	}
	for _, p := range parts {
		if !p.optional && !seen[p.name] {
			return malformed("%s is missing", p.name)
		}
	}
	return nil
}

// checkEntry refuses what is no part of an image.
func checkEntry(head *tar.Header, seen map[string]bool) error {
	p, known := partOf(head.Name)
	switch {
	case !known:
		return malformed("%q is no part of one", head.Name)
	case head.Typeflag != tar.TypeReg:
		return malformed("%s is not a regular file", head.Name)
	case seen[head.Name]:
		return malformed("%s is there twice", head.Name)
	case head.Size < 0 || head.Size > p.most:
		return malformed("%s has %s, and at most %s are taken", head.Name, sizeText(head.Size), sizeText(p.most))
	case len(seen) == 0 && head.Name != manifest:
		return malformed("it begins with %s, and not with %s", head.Name, manifest)
	}
	return nil
}

func unpackPart(archive io.Reader, head *tar.Header, dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, head.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = copySparse(f, archive, head.Size)
	if err == nil {
		err = f.Sync() // a directory that is there is whole, after a power cut too
	}
	return errors.Join(err, f.Close())
}

// block is the unit of holes, in bytes: that of the usual file systems.
const block = 4 << 10

var zeros [block]byte

// copySparse writes size bytes of r to an empty file, and leaves blocks of zeros out.
func copySparse(f *os.File, r io.Reader, size int64) error {
	buffer := make([]byte, 256*block)
	for at := int64(0); at < size; {
		n, err := io.ReadFull(r, buffer[:min(int64(len(buffer)), size-at)])
		if err != nil {
			return malformed("%w", err)
		}
		if err := writeRuns(f, buffer[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Truncate(size)
}

// writeRuns writes the blocks of data that are not all zeros, neighbours at once.
func writeRuns(f *os.File, data []byte, at int64) error {
	for len(data) > 0 {
		n := 0
		for n < len(data) && !isZero(data[n:min(n+block, len(data))]) {
			n = min(n+block, len(data))
		}
		if n > 0 {
			if _, err := f.WriteAt(data[:n], at); err != nil {
				return err
			}
		}
		skip := min(n+block, len(data)) // the block behind is all zeros, or there is none
		data, at = data[skip:], at+int64(skip)
	}
	return nil
}

func isZero(data []byte) bool { return bytes.Equal(data, zeros[:len(data)]) }

// margin is what stays free on the disk, in bytes.
const margin = 64 << 20

// checkRoom asks for as much room as the manifest says that the image takes; a manifest that says nothing asks for none.
func checkRoom(path string, room func(need int64) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var said struct {
		Sizes struct {
			Used, Kernel, Initrd int64
		} `json:"sizes"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return malformed("%s: %w", manifest, err)
	}
	s := said.Sizes
	return room(within(s.Used, "disk.raw") + 2*within(s.Kernel, "kernel") + within(s.Initrd, "initrd"))
}

// within is a size that a manifest says, no more than its part may have.
func within(size int64, name string) int64 {
	p, _ := partOf(name)
	return min(max(size, 0), p.most)
}

// roomIn is unpack's room for a directory: free is what there is, false when it is not known.
func roomIn(dir string, free func(string) (int64, bool)) func(need int64) error {
	return func(need int64) error {
		has, known := free(dir)
		if !known || need+margin <= has {
			return nil
		}
		return hint.With(fmt.Errorf("%s has too little space: an image takes %s, and %s are free", dir, sizeText(need+margin), sizeText(has)),
			"free some space there, or set LINNET_HOME to a directory on another disk")
	}
}
