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
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// packPath streams a tar archive of a host path whose root entry is the path's last
// element, or "." where the path was typed as a/. : what `cp - CONTAINER:DIR` unpacks. What is in a
// directory is read below its descriptor, so that no link that is put there meanwhile leads out of it.
func packPath(name string, follow bool) (io.ReadCloser, error) {
	clean, asDir := filepath.Clean(name), contentsOnly(name) || strings.HasSuffix(name, "/")
	if follow || asDir {
		target, err := filepath.EvalSymlinks(clean)
		if err != nil {
			return nil, fmt.Errorf("reading %w", hint.PathCause(err))
		}
		clean = target
	}
	info, err := os.Lstat(clean)
	if err != nil {
		return nil, fmt.Errorf("reading %w", hint.PathCause(err))
	}
	if asDir && !info.IsDir() {
		return nil, fmt.Errorf("reading %s: it is not a directory", name)
	}
	p := &packer{name: filepath.Base(clean), dir: filepath.Dir(clean), top: filepath.Base(clean)}
	if info.IsDir() {
		p.dir, p.top = clean, "."
	}
	if contentsOnly(name) {
		p.name = "."
	}
	if p.root, err = os.OpenRoot(p.dir); err != nil {
		return nil, fmt.Errorf("reading %w", hint.PathCause(err))
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(errors.Join(p.pack(w), p.root.Close())) }()
	return r, nil
}

// packer writes what is below a directory of the host into an archive.
type packer struct {
	root    *os.Root
	dir     string // root's path, for messages
	top     string // what is packed of it
	name    string // what that is called in the archive
	archive *tar.Writer
}

func (p *packer) pack(w io.Writer) error {
	p.archive = tar.NewWriter(w)
	one := func(file string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = p.one(file)
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", filepath.Join(p.dir, file), pathReason(err))
		}
		return nil
	}
	var err error
	if p.top == "." {
		err = fs.WalkDir(p.root.FS(), p.top, one)
	} else {
		err = one(p.top, nil, nil) // WalkDir would follow a link
	}
	return errors.Join(err, p.archive.Close())
}

func (p *packer) one(file string) error {
	info, err := p.root.Lstat(file)
	if err != nil || info.Mode()&fs.ModeSocket != 0 {
		return err // a socket means nothing without who listens
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = p.root.Readlink(file); err != nil {
			return err
		}
	}
	var in *os.File
	if info.Mode().IsRegular() {
		// It may be another by now, whose size and mode count.
		if in, err = p.root.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0); err != nil {
			return err
		}
		defer in.Close()
		if info, err = in.Stat(); err != nil || !info.Mode().IsRegular() {
			return errors.Join(err, errors.New("it changes while it is read"))
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = path.Join(p.name, file)
	if p.top != "." {
		header.Name = p.name
	}
	if info.IsDir() {
		header.Name += "/"
	}
	if err := p.archive.WriteHeader(header); err != nil || in == nil {
		return err
	}
	// A file that grows while it is read would not fit its header.
	_, err = io.CopyN(p.archive, in, info.Size())
	return err
}
