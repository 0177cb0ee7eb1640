package guestimage

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// window is the memory that unpacking takes, in bytes: what packs an image and what unpacks it agree on it.
const window = 8 << 20

// packed is the time of every file in the packed form: a fixed one, so that the same files make the same bytes.
var packed = time.Unix(0, 0).UTC()

// Pack writes the packed form of an image's directory: a tar of its parts (POSIX.1-2001, pax), compressed with Zstandard
// (RFC 8878). The same files make the same bytes. A file in the directory that is no part of an image is an error.
func Pack(w io.Writer, dir string) error {
	if err := checkNames(dir); err != nil {
		return err
	}
	compressed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	for _, p := range parts {
		if err := packPart(archive, dir, p); err != nil {
			_ = compressed.Close() // what was written is of no use
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func packPart(archive *tar.Writer, dir string, p part) error {
	f, err := os.Open(filepath.Join(dir, p.name))
	if p.optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("packing %s: %w", dir, hint.PathCause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > p.most {
		return fmt.Errorf("packing %s: %s is no file of at most %s", dir, p.name, sizeText(p.most))
	}
	head := &tar.Header{Typeflag: tar.TypeReg, Name: p.name, Size: info.Size(), Mode: 0o644, ModTime: packed, Format: tar.FormatPAX}
	if err := archive.WriteHeader(head); err != nil {
		return fmt.Errorf("packing %s: %s: %w", dir, p.name, err)
	}
	if _, err := io.Copy(archive, bufio.NewReaderSize(f, 1<<20)); err != nil {
		return fmt.Errorf("packing %s: %s: %w", dir, p.name, err)
	}
	return nil
}

func checkNames(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("packing %s: %w", dir, hint.Cause(err))
	}
	for _, e := range entries {
		if _, ok := partOf(e.Name()); !ok {
			return hint.With(fmt.Errorf("packing %s: %s is no part of an image", dir, e.Name()), "remove it, or name the directory of an image")
		}
	}
	return nil
}

func partOf(name string) (part, bool) {
	for _, p := range parts {
		if p.name == name {
			return p, true
		}
	}
	return part{}, false
}
