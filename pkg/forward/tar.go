package forward

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// packPath streams a tar archive of a host path whose root entry is the path's last
// element, or "." where the path was typed as a/. : what `cp - CONTAINER:DIR` unpacks.
func packPath(name string, follow bool) (io.ReadCloser, error) {
	clean := filepath.Clean(name)
	if follow {
		target, err := filepath.EvalSymlinks(clean)
		if err != nil {
			return nil, fmt.Errorf("reading %w", pathCause(err))
		}
		clean = target
	}
	if _, err := os.Lstat(clean); err != nil {
		return nil, fmt.Errorf("reading %w", pathCause(err))
	}
	root := filepath.Base(clean)
	if contentsOnly(name) {
		root = "."
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(pack(w, clean, root)) }()
	return r, nil
}

func pack(w io.Writer, dir, root string) error {
	archive := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading %w", pathCause(err))
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return packOne(archive, file, path.Join(root, filepath.ToSlash(rel)), e)
	})
	return errors.Join(err, archive.Close())
}

func packOne(archive *tar.Writer, file, name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return fmt.Errorf("reading %w", pathCause(err))
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(file); err != nil {
			return fmt.Errorf("reading %w", pathCause(err))
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading %w", pathCause(err))
	}
	defer in.Close()
	// A file that grows while it is read would not fit its header.
	_, err = io.CopyN(archive, in, info.Size())
	return err
}

// unpackTo unpacks the tar archive that `cp CONTAINER:PATH -` writes, as cp itself would: into
// dst when it is a folder, and as dst when it is not there or a file.
func unpackTo(dst string) (*outFile, error) {
	parent, rename := filepath.Clean(dst), ""
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent, rename = filepath.Dir(parent), filepath.Base(parent)
	}
	root, err := os.OpenRoot(parent)
	if err != nil {
		return nil, fmt.Errorf("writing %w", pathCause(err))
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := unpack(root, r, rename)
		_, _ = io.Copy(io.Discard, r) // the command must not block on what we cannot take
		done <- err
	}()
	end := func() error {
		w.Close()
		return errors.Join(<-done, root.Close())
	}
	return &outFile{Writer: w, finish: end, undo: func() { _ = end() }}, nil
}

// unpack writes an archive below root; os.Root keeps every entry, and every link it meets,
// inside. rename, when set, replaces the first element of every name.
func unpack(root *os.Root, r io.Reader, rename string) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		name := path.Clean(h.Name)
		if rename != "" {
			_, rest, _ := strings.Cut(name, "/")
			name = path.Join(rename, rest)
		}
		if err := unpackOne(root, archive, h, name); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
}

func unpackOne(root *os.Root, in io.Reader, h *tar.Header, name string) error {
	mode := h.FileInfo().Mode()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, mode.Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return root.Link(path.Clean(h.Linkname), name)
	case tar.TypeReg:
		out, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm())
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // the user asked for this very copy
			out.Close()
			return err
		}
		return out.Close()
	}
	return nil // devices and pipes stay behind, as with cp off root
}
