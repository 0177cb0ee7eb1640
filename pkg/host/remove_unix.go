//go:build unix

package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// RemoveTree removes path, absolute and clean, and all that is below it; it is no error when nothing is
// there. It is the only removal of directories in linnet: where os.RemoveAll goes by names, it goes by
// descriptors, follows no symbolic link, not even on the way to path, and enters nothing that is mounted
// at path or below. A link in the tree is removed, what it leads to is not. What is in the way is
// named in the error, a *hint.Error; as far as that can be known before, nothing is removed then.
func RemoveTree(path string) error {
	parent, err := openParent(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	defer unix.Close(parent)
	if err := CheckUnmounted("removing "+path, path); err != nil {
		return err
	}
	err = removal{top: path}.remove(parent, filepath.Base(path), path)
	if hinted := (*hint.Error)(nil); err != nil && !errors.As(err, &hinted) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return err
}

// CheckUnmounted fails, with an error that begins with doing, when something is mounted at one of the
// directories or below. It is for what others remove, who do not look; RemoveTree looks itself.
func CheckUnmounted(doing string, dirs ...string) error {
	mounts, err := Mounts()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return MountsError(doing, MountsAt(mounts, dirs...))
}

// MountsError is the error that mounts are where doing would remove what is behind them; nil when there
// are none.
func MountsError(doing string, mounts []Mount) error {
	if len(mounts) == 0 {
		return nil
	}
	points := make([]string, len(mounts))
	for i, m := range mounts {
		points[len(mounts)-1-i] = m.Point // unmounted in this order
	}
	is := "is mounted there, and is"
	if len(points) > 1 {
		is = "are mounted there, and are"
	}
	return hint.With(fmt.Errorf("%s: %s %s not linnet's to remove", doing, strings.Join(points, ", "), is),
		"unmount it (umount "+strings.Join(points, " ")+"), then try again; what is in it stays")
}

// MountsAt picks the mounts whose points are the directories or below them.
func MountsAt(mounts []Mount, dirs ...string) (found []Mount) {
	for _, m := range mounts {
		for _, dir := range dirs {
			if m.Point == dir || strings.HasPrefix(m.Point, dir+"/") {
				found = append(found, m)
				break
			}
		}
	}
	return found
}

// removal is one RemoveTree. Its functions take the descriptor of a directory, the name of an entry of
// it, and the path of that, which is for messages alone.
type removal struct{ top string }

func (r removal) remove(dir int, name, path string) error {
	err := ignoringEINTR(func() error { return unix.Unlinkat(dir, name, 0) })
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EBUSY): // a file, with another one mounted on it
		return r.mounted(path)
	case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM): // the latter is POSIX's
		return &fs.PathError{Op: "unlink", Path: path, Err: err}
	}
	if err := r.empty(dir, name, path, err); err != nil {
		return err
	}
	err = ignoringEINTR(func() error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EBUSY): // mounted since it was emptied
		return r.mounted(path)
	}
	return &fs.PathError{Op: "rmdir", Path: path, Err: err}
}

// empty removes all that is in a directory. why is the reason for which it could not be unlinked.
func (r removal) empty(dir int, name, path string, why error) error {
	fd, err := openat(dir, name, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		// It may be a file that must not be unlinked; otherwise it was a directory a moment ago.
		if errors.Is(why, unix.EPERM) {
			return &fs.PathError{Op: "unlink", Path: path, Err: why}
		}
		return hint.With(fmt.Errorf("removing %s: %s was replaced meanwhile, and is not followed", r.top, path),
			"see what else works in there, then try again")
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	d := os.NewFile(uintptr(fd), path)
	defer d.Close()
	same, err := sameMount(dir, fd)
	if err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if !same {
		return r.mounted(path)
	}
	for before := []string(nil); ; {
		names, err := d.Readdirnames(1024)
		for _, entry := range names {
			if err := r.remove(fd, entry, filepath.Join(path, entry)); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(names) == 0 {
			return nil
		}
		if slices.Equal(names, before) {
			return fmt.Errorf("%s does not become empty: %s comes back", path, names[0])
		}
		before = names
		// From the beginning: what moves when entries go is the file system's affair.
		if _, err := d.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

func (r removal) mounted(path string) error {
	return MountsError("removing "+r.top, []Mount{{Point: path}})
}

// openat opens a directory that is an entry of another, and no link to one.
func openat(dir int, name string, mode int) (fd int, err error) {
	err = ignoringEINTR(func() error {
		fd, err = unix.Openat(dir, name, mode|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// openParent opens the directory that a path is in, following no link on the way.
func openParent(path string) (int, error) {
	if !filepath.IsAbs(path) || path != filepath.Clean(path) || path == "/" {
		return -1, errors.New("it is no absolute path of a directory that could be removed")
	}
	dir, err := openat(unix.AT_FDCWD, "/", searchOnly)
	if err != nil {
		return -1, err
	}
	names := strings.Split(filepath.Dir(path), "/")[1:]
	for i, name := range names {
		if name == "" {
			break // directly in the root
		}
		next, err := openat(dir, name, searchOnly)
		unix.Close(dir)
		here := "/" + filepath.Join(names[:i+1]...)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return -1, hint.With(fmt.Errorf("%s is no directory, and a symbolic link is not followed", here),
				"put a directory there; to keep linnet's data elsewhere, set LINNET_HOME")
		}
		if err != nil {
			return -1, &fs.PathError{Op: "open", Path: here, Err: err}
		}
		dir = next
	}
	return dir, nil
}

func ignoringEINTR(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
