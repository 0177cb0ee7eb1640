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
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/report"
)

// Errors of a copy whose destination does not fit its source.
var (
	errDirOntoFile = errors.New("a directory cannot be copied onto a file")
	errNoDir       = errors.New("there is no such directory to copy a file into")
)

// unpackTo unpacks the tar archive that `cp CONTAINER:PATH -` writes, as cp itself would: into
// dst when it is a directory, and as dst when it is not there or a file. What would give rights on this
// host to who made the files is not taken over, and told on errs.
func unpackTo(dst string, errs io.Writer) (*outFile, error) {
	u := &unpacker{dropped: &report.Dropped{}}
	dir := filepath.Clean(dst)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		u.onto, u.asDir = err == nil, strings.HasSuffix(dst, "/") || contentsOnly(dst)
		dir, u.rename = filepath.Dir(dir), filepath.Base(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("writing %w", pathCause(err))
	}
	u.root, u.dir = root, dir
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := u.unpack(r)
		_, _ = io.Copy(io.Discard, r) // the command must not block on what we cannot take
		done <- err
	}()
	end := func() error {
		w.Close()
		err := errors.Join(<-done, root.Close())
		for _, line := range u.dropped.Lines() {
			fmt.Fprintln(errs, "linnet:", line)
		}
		return err
	}
	return &outFile{Writer: w, finish: end, undo: func() { _ = end() }}, nil
}

// unpacker writes an archive below a directory; os.Root keeps every entry, and every link it meets, inside.
type unpacker struct {
	root *os.Root
	dir  string // root's path, for messages
	// rename, when set, replaces the first element of every name: the destination is not a directory. onto says that it
	// is there, a file, and asDir that it was typed as a directory.
	rename      string
	onto, asDir bool
	// first is what the first element of every name is, once there was an entry.
	first *string
	// dirs are set right at the end: what is written into one changes its time, and may need its mode.
	dirs    []unpackedDir
	dropped *report.Dropped
}

type unpackedDir struct {
	name string
	mode fs.FileMode
	time time.Time
}

func (u *unpacker) unpack(r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		name, err := u.name(h.Name, h.Typeflag == tar.TypeDir)
		if err == nil {
			err = u.one(archive, h, name)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(u.dir, name), pathReason(err))
		}
	}
}

// name is what an entry is called below the destination. The first entry says what was copied: itself, or, where
// it is ".", what is in it.
func (u *unpacker) name(name string, isDir bool) (string, error) {
	clean := path.Clean(name)
	if u.first == nil {
		first, _, _ := strings.Cut(clean, "/")
		if strings.HasPrefix(name, "./") || clean == "." {
			first = "."
		}
		u.first = &first
		switch {
		case u.onto && isDir:
			return u.rename, errDirOntoFile
		case u.asDir && !isDir:
			return u.rename, errNoDir
		}
	}
	if u.rename == "" {
		return clean, nil
	}
	if *u.first != "." {
		_, clean, _ = strings.Cut(clean, "/")
	}
	return path.Join(u.rename, clean), nil
}

func (u *unpacker) one(in io.Reader, h *tar.Header, name string) error {
	info := h.FileInfo()
	switch h.Typeflag {
	case tar.TypeDir:
		return u.mkdir(name, info)
	case tar.TypeSymlink, tar.TypeLink, tar.TypeReg:
		if err := u.clear(name); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		u.dropped.Device(filepath.Join(u.dir, name))
		return nil
	default:
		return nil // what says something of the archive
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		to, err := u.name(h.Linkname, false)
		if err != nil {
			return err
		}
		return u.root.Link(to, name)
	}
	out, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) //nolint:gosec // the user asked for this very copy
	if err == nil {
		err = out.Chmod(u.harmless(name, info.Mode()))
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return u.root.Chtimes(name, time.Time{}, info.ModTime())
}

// clear makes room for a file: what is there, unless it is a directory, goes, as with tar.
func (u *unpacker) clear(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("a directory is in its place")
	}
	return u.root.Remove(name)
}

func (u *unpacker) mkdir(name string, info fs.FileInfo) error {
	made := name != "."
	if made {
		if there, err := u.root.Lstat(name); err == nil && !there.IsDir() {
			if err := u.root.Remove(name); err != nil {
				return err
			}
		}
		err := u.root.Mkdir(name, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		made = err == nil
	}
	if made {
		u.dirs = append(u.dirs, unpackedDir{name, info.Mode() & (fs.ModePerm | fs.ModeSticky | fs.ModeSetgid), info.ModTime()})
	}
	return nil
}

// finish gives the directories that were made their modes and times, those within others first.
func (u *unpacker) finish() error {
	for _, d := range slices.Backward(u.dirs) {
		err := u.root.Chmod(d.name, d.mode)
		if err == nil {
			err = u.root.Chtimes(d.name, time.Time{}, d.time)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(u.dir, d.name), pathReason(err))
		}
	}
	return nil
}

// harmless is a file's mode without what would have it run as another user.
func (u *unpacker) harmless(name string, mode fs.FileMode) fs.FileMode {
	if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		u.dropped.Setuid(filepath.Join(u.dir, name))
	}
	return mode & (fs.ModePerm | fs.ModeSticky)
}
