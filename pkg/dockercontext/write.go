package dockercontext

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Put writes a context, whole or not at all, in place of one of the same name. Directories that are missing are made, and what is
// made belongs to the owner of the directory that it is made in, so that root leaves nothing of its own in a user's directory.
// A context with TLS keys is an error: docker would use them for the new address, too.
func (s Store) Put(c Context) error {
	if err := s.put(c); err != nil {
		return fmt.Errorf("writing docker's context %q: %w", c.Name, err)
	}
	return nil
}

func (s Store) put(c Context) error {
	text, err := json.Marshal(meta{
		Name: c.Name, Metadata: map[string]any{"Description": c.Description},
		Endpoints: map[string]metaEndpoint{endpoint: {Host: c.Host}},
	})
	if err != nil {
		return err
	}
	// Below a descriptor no link leads out, whatever another user changes there meanwhile.
	root, below, err := openNearest(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	keys := filepath.Join(below, tlsDir(c.Name))
	if _, err := root.Lstat(keys); err == nil {
		return hint.With(fmt.Errorf("it has TLS keys, in %s", filepath.Join(root.Name(), keys)), "docker context rm --force "+c.Name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return s.located(err)
	}
	file := filepath.Join(below, metaFile(c.Name))
	if err := makeDirs(root, filepath.Dir(file), below); err != nil {
		return s.located(err)
	}
	return s.located(writeFile(root, file, text))
}

// openNearest opens a directory, or the nearest one above it that is there; below is the way from that to it, "." for none.
func openNearest(dir string) (root *os.Root, below string, err error) {
	for below = "."; ; dir = filepath.Dir(dir) {
		root, err = os.OpenRoot(dir)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return root, below, hint.PathCause(err)
		}
		below = filepath.Join(filepath.Base(dir), below)
	}
}

// makeDirs makes a directory and those above it. Docker's configuration directory and what is above it are for their owner alone: config.json
// may hold passwords.
func makeDirs(root *os.Root, dir, private string) error {
	if dir == "." {
		return nil
	}
	if err := makeDirs(root, filepath.Dir(dir), private); err != nil {
		return err
	}
	mode := fs.FileMode(dirMode)
	if len(dir) <= len(private) {
		mode = 0o700
	}
	err := root.Mkdir(dir, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	giveAway(root, dir)
	return nil
}

// giveAway gives what root has made to the owner of the directory that it is in. Where that cannot be done it stays root's, and readable.
func giveAway(root *os.Root, name string) {
	if os.Geteuid() != 0 {
		return
	}
	if info, err := root.Stat(filepath.Dir(name)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = root.Lchown(name, int(st.Uid), int(st.Gid))
		}
	}
}

// writeFile writes a file whole or not at all: beside it, flushed to disk, then renamed over it.
func writeFile(root *os.Root, name string, text []byte) (err error) {
	beside := name + "." + rand.Text()
	f, err := root.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			_ = root.Remove(beside)
		}
	}()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	giveAway(root, beside)
	return root.Rename(beside, name)
}

// Remove removes a context's file, and the directory that it is in when nothing else is in that.
func (s Store) Remove(name string) error {
	path := s.Path(name)
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing docker's context %q: %w", name, hint.PathCause(err))
	}
	_ = os.Remove(filepath.Dir(path))
	return nil
}

// located is an error of a file below the directory, with the whole path.
func (s Store) located(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return fmt.Errorf("below %s: %s: %w", s.dir, path.Path, path.Err)
	}
	return err
}
