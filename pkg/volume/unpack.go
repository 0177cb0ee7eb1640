//go:build linux

package volume

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Unpack unpacks a tar archive of one directory, whose entries all begin with that directory's name, as the content of root.
// Owners are taken by number: their names mean others on another machine. Runs of zeros become holes. It needs root's rights, and
// an error names the entry at which it ended.
func Unpack(ctx context.Context, root *os.Root, archive io.Reader) error {
	u := unpacker{root: root, archive: tar.NewReader(archive)}
	for ctx.Err() == nil {
		h, err := u.archive.Next()
		if errors.Is(err, io.EOF) {
			if u.top == "" {
				return errors.New("reading the archive: it is empty")
			}
			return u.finishDirs()
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // it says something of the archive
		}
		if err := u.entry(h); err != nil {
			return fmt.Errorf("unpacking %q: %w", h.Name, err)
		}
	}
	return ctx.Err()
}

type unpacker struct {
	root    *os.Root
	archive *tar.Reader
	top     string // the name that all entries begin with
	// dirs are set right at the end: what is written into one changes its time, and may need its mode.
	dirs []*tar.Header
}

// inside is an entry's name below the directory that was packed.
func (u *unpacker) inside(name string) (string, error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+name), "/"), "/")
	if u.top == "" {
		u.top = first
	}
	if first != u.top {
		return "", fmt.Errorf("it is not in %q", u.top)
	}
	if rest == "" {
		return ".", nil
	}
	return rest, nil
}

func (u *unpacker) entry(h *tar.Header) error {
	name, err := u.inside(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.MkdirAll(name, 0o700); err != nil {
			return err
		}
		named := *h
		named.Name = name
		u.dirs = append(u.dirs, &named)
		return nil
	case tar.TypeLink:
		old, err := u.inside(h.Linkname)
		if err != nil {
			return err
		}
		return u.root.Link(old, name)
	case tar.TypeReg:
		if err := u.file(h, name); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if err := u.node(h, name); err != nil {
			return err
		}
	default:
		return fmt.Errorf("its kind %q is not known", h.Typeflag)
	}
	return u.attributes(h, name)
}

func (u *unpacker) file(h *tar.Header, name string) error {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(writeSparse(f, u.archive, h.Size), f.Close())
}

// block is how long a run of zeros must be to become a hole: what file systems allocate at once.
const block = 4096

// writeSparse writes size bytes and leaves out blocks of zeros.
func writeSparse(f *os.File, in io.Reader, size int64) error {
	buffer, zeros := make([]byte, 64*block), make([]byte, block)
	for at := int64(0); at < size; {
		n, err := io.ReadFull(in, buffer[:min(int64(len(buffer)), size-at)])
		if err != nil {
			return err
		}
		begin := 0 // of what is to be written
		for end := 0; end < n; end = min(end+block, n) {
			next := min(end+block, n)
			if string(buffer[end:next]) != string(zeros[:next-end]) {
				continue
			}
			if _, err := f.WriteAt(buffer[begin:end], at+int64(begin)); err != nil {
				return err
			}
			begin = next
		}
		if _, err := f.WriteAt(buffer[begin:n], at+int64(begin)); err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Truncate(size)
}

func (u *unpacker) node(h *tar.Header, name string) error {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	return u.at(name, func(dir int, base string) error {
		return unix.Mknodat(dir, base, kind|0o600, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	})
}

// at calls do with the directory that name is in, as a descriptor, and with its last element.
func (u *unpacker) at(name string, do func(dir int, base string) error) error {
	dir, err := u.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(int(dir.Fd()), path.Base(name))
}

// xattrRecord begins the records in which an archive has extended attributes.
const xattrRecord = "SCHILY.xattr."

// attributes gives a file its owner, its mode, its extended attributes and its time, in the order in which none undoes another.
func (u *unpacker) attributes(h *tar.Header, name string) error {
	if err := u.root.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	return u.at(name, func(dir int, base string) error {
		if h.Typeflag != tar.TypeSymlink {
			if err := unix.Fchmodat(dir, base, uint32(h.Mode)&0o7777, 0); err != nil {
				return err
			}
		}
		here := fmt.Sprintf("/proc/self/fd/%d/%s", dir, base)
		for record, value := range h.PAXRecords {
			if attribute, ok := strings.CutPrefix(record, xattrRecord); ok {
				if err := unix.Lsetxattr(here, attribute, []byte(value), 0); err != nil {
					return fmt.Errorf("setting the attribute %s: %w", attribute, err)
				}
			}
		}
		accessed := h.AccessTime
		if accessed.IsZero() {
			accessed = h.ModTime
		}
		a, errA := unix.TimeToTimespec(accessed)
		m, errM := unix.TimeToTimespec(h.ModTime)
		if err := errors.Join(errA, errM); err != nil {
			return err
		}
		return unix.UtimesNanoAt(dir, base, []unix.Timespec{a, m}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// finishDirs sets the directories right, those within others first.
func (u *unpacker) finishDirs() error {
	for _, h := range slices.Backward(u.dirs) {
		if err := u.attributes(h, h.Name); err != nil {
			return fmt.Errorf("unpacking %q: %w", h.Name, err)
		}
	}
	return nil
}
