package gather

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Repair carries an action out, to what is linnet's alone: whether it is, is looked at again. Its error says why it did not.
func (s Source) Repair(ctx context.Context, a doctor.Action) error {
	var err error
	switch a.Kind {
	case doctor.MakeDir:
		err = s.makeDir(a.Path)
	case doctor.Protect:
		err = s.protect(a.Path)
	case doctor.RemoveSocket:
		err = s.removeSocket(ctx, a.Path)
	case doctor.RemoveLink:
		err = removeLink(a.Path, a.Target)
	case doctor.RemoveEntry:
		err = s.removeEntry(a.Path)
	default:
		err = errors.New("it is not known how")
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", a.Kind, a.Path, hint.Cause(err))
	}
	return nil
}

var errNotOurs = errors.New("it is not linnet's")

func (s Source) makeDir(path string) error {
	if !slices.Contains(s.Layout.Directories(), path) {
		return errNotOurs
	}
	return host.MakeDir(path)
}

// protect changes the directory that it has opened, which is this user's, and no link.
func (s Source) protect(path string) error {
	if path != s.Layout.Home && !slices.Contains(s.Layout.Directories(), path) {
		return errNotOurs
	}
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if owner(info) != os.Geteuid() {
		return errNotOurs
	}
	return dir.Chmod(info.Mode().Perm() &^ 0o022)
}

// removeSocket removes a socket while no engine can be starting, or running: the locks that those hold are held meanwhile.
func (s Source) removeSocket(ctx context.Context, path string) error {
	l := s.Layout
	if !slices.Contains(l.Sockets(), path) {
		return errNotOurs
	}
	for _, lock := range []string{l.StartLock(), l.AgentLock(), l.VMLock("start"), l.VMLock("relay")} {
		if !there(filepath.Dir(lock)) {
			continue // no engine of that kind was ever there
		}
		held, err := host.TryLock(lock)
		if errors.Is(err, host.ErrLocked) {
			return fmt.Errorf("an engine runs, or is being started (%s)", filepath.Base(lock))
		}
		if err != nil {
			return err
		}
		defer held.Close()
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errNotOurs
	case answers(ctx, path) != doctor.No:
		return errors.New("a process listens there by now")
	}
	return os.Remove(path)
}

// removeLink removes a link that leads where it is known to lead.
func removeLink(path, target string) error {
	if now, err := os.Readlink(path); err != nil || now != target {
		return errNotOurs
	}
	return os.Remove(path)
}

// removeEntry has the kernel forget an entry of this home's (Documentation/admin-guide/binfmt-misc.rst: -1 removes it).
func (s Source) removeEntry(path string) error {
	if !strings.HasPrefix(filepath.Base(path), s.Layout.BinfmtOwn()) || filepath.Dir(path) != s.at(s.Layout.Binfmt()) {
		return errNotOurs
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("-1")
	return errors.Join(err, f.Close())
}
