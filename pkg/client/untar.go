package client

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

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/report"
)

// Errors of a copy whose destination does not fit its source.
var (
	errDirOntoFile = errors.New("a directory cannot be copied onto a file")
	errNoDir       = errors.New("there is no such directory to copy a file into")
	errSpecial     = errors.New("it is a device, a pipe or a socket: name a file or a directory")
)

// unpackTo unpacks the tar archive that `cp CONTAINER:PATH -` writes, as cp itself would: into
// f's path when it is a directory, and as that when it is not there or a file. What would give rights on this
// host to who made the files is not taken over, and told on errs.
func unpackTo(f *crossing.HostFile, errs io.Writer) (*outFile, error) {
	dst := f.Path
	u := &unpacker{dropped: &report.Dropped{}, rename: f.Entry}
	dir := filepath.Clean(dst)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("writing %s: %w", dir, errSpecial)
	}
	if err != nil || !info.IsDir() {
		u.onto, u.asDir = err == nil, strings.HasSuffix(dst, "/") || contentsOnly(dst)
		dir, u.rename = filepath.Dir(dir), filepath.Base(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("writing %w", hint.PathCause(err))
	}
	u.root, u.dir = root, dir
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := u.unpack(r, f.Contents)
		_, _ = io.Copy(io.Discard, r) // the command must not block on what we cannot take
		done <- errors.Join(err, u.root.Close())
	}()
	end := func() error {
		w.Close()
		err := <-done
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
	// rename, when set, is what the first entry is called here. onto says that the destination is there, a file, and
	// asDir that it is not there and was typed as a directory.
	rename      string
	onto, asDir bool
	// top is the first entry, which says what was copied: itself, or, where it is ".", what is in it. Where it is a directory,
	// root becomes that directory, and all else must be in it; where it is none, there must be nothing else.
	top *tar.Header
	// dirs are set right at the end: what is written into one changes its time, and may need its mode.
	dirs    []unpackedDir
	dropped *report.Dropped
}

type unpackedDir struct {
	name string
	mode fs.FileMode
	time time.Time
}

func (u *unpacker) unpack(r io.Reader, contents bool) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // it says something of the archive
		}
		if contents && u.top == nil {
			err = u.entry(archive, &tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Now()})
		}
		if err == nil {
			err = u.entry(archive, h)
		}
		if err != nil {
			return err
		}
	}
}

func (u *unpacker) entry(in io.Reader, h *tar.Header) (err error) {
	var name string
	if u.top == nil {
		name, err = u.begin(h)
	} else {
		name, err = u.name(h.Name)
	}
	if err == nil {
		err = u.one(in, h, name)
	}
	if err == nil && u.top == h && h.Typeflag == tar.TypeDir {
		err = u.enter(name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Join(u.dir, name), pathReason(err))
	}
	return nil
}

// begin is what the first entry is called here.
func (u *unpacker) begin(h *tar.Header) (string, error) {
	name, isDir := path.Clean(h.Name), h.Typeflag == tar.TypeDir
	if !filepath.IsLocal(name) || strings.Contains(name, "/") {
		return u.rename, outside(h.Name)
	}
	u.top = h
	if u.rename != "" {
		name = u.rename
	}
	switch {
	case h.Typeflag == tar.TypeSymlink:
		// nerdctl follows links to what it copies. It sends one for a directory that it reaches by a link of its own, such
		// as the root of a container, and what that says means nothing here.
		return name, errors.New("the guest sends a link in place of what it leads to: add /. to the container's path to copy what is in there")
	case u.onto && isDir:
		return name, errDirOntoFile
	case u.asDir && !isDir:
		return name, errNoDir
	}
	return name, nil
}

// enter goes on below a directory, so that no link in it leads to what is beside it.
func (u *unpacker) enter(name string) error {
	if name == "." {
		return nil
	}
	root, err := u.root.OpenRoot(name)
	if err != nil {
		return err
	}
	err = u.root.Close()
	u.root, u.dir = root, filepath.Join(u.dir, name)
	for i := range u.dirs {
		u.dirs[i].name = "."
	}
	return err
}

// name is what a further entry is called below root.
func (u *unpacker) name(name string) (string, error) {
	clean, top := path.Clean(name), path.Clean(u.top.Name)
	if u.top.Typeflag == tar.TypeDir && filepath.IsLocal(clean) {
		switch below, in := strings.CutPrefix(clean, top+"/"); {
		case in:
			return below, nil
		case clean == top:
			return ".", nil
		case top == ".":
			return clean, nil
		}
	}
	return "", outside(name)
}

func outside(name string) error {
	return fmt.Errorf("the guest's archive names %q, outside of what is copied", name)
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
		if u.top == h {
			return outside(h.Linkname)
		}
		to, err := u.name(h.Linkname)
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
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return errSpecial
	}
	return u.root.Remove(name)
}

func (u *unpacker) mkdir(name string, info fs.FileInfo) error {
	made := name != "."
	if made {
		if there, err := u.root.Lstat(name); err == nil && !there.IsDir() {
			if err := u.clear(name); err != nil {
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
