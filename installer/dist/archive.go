package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// writeArchive packs the files of a directory, without the directory itself: unpacked in a prefix such as /usr/local, they are in
// their places. Owners are root, times are one time, names are sorted; there is no other way to pack the same files.
func writeArchive(name, dir string, when time.Time) (err error) {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zipped, err := gzip.NewWriterLevel(out, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	packed := tar.NewWriter(zipped)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // in lexical order
		if err != nil || e.IsDir() {
			return err
		}
		return addFile(packed, dir, path, when)
	})
	return errors.Join(err, packed.Close(), zipped.Close())
}

// addFile adds a file alone: unpacking makes directories as it needs them, and leaves the modes of those that are there.
func addFile(packed *tar.Writer, dir, path string, when time.Time) error {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Size: info.Size(), Mode: mode, ModTime: when,
		Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
	}
	if err := packed.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(packed, f)
	return err
}
