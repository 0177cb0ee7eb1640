package native

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// stage is a private directory below /run, which is memory. Its name says whose it is: the
// agent removes it when this process is gone without having closed it.
type stage struct{ dir string }

// Stage makes a private directory in memory.
func (n *Native) Stage(context.Context) (guest.Stage, error) {
	parent := n.o.Layout.Stages()
	if err := host.MakeDir(parent); err != nil {
		return nil, fmt.Errorf("staging files: %w", err)
	}
	dir, err := os.MkdirTemp(parent, host.StagePrefix())
	if err != nil {
		return nil, fmt.Errorf("staging files: %w", err)
	}
	return &stage{dir}, nil
}

func (s *stage) Put(_ context.Context, name string, mode fs.FileMode, r io.Reader) (_ string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	path := s.Path(name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("staging %s: %w", name, err)
	}
	defer func() {
		if err != nil { // half a file is of no use
			f.Close()
			_ = os.Remove(path)
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return "", fmt.Errorf("staging %s: %w", name, err)
	}
	if err := f.Chmod(mode); err != nil {
		return "", fmt.Errorf("staging %s: %w", name, err)
	}
	return path, f.Close()
}

// checkName refuses a name that would lead out of the stage.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("staging %q: it is not the name of a file", name)
	}
	return nil
}

func (s *stage) Path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) Get(_ context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := os.Open(s.Path(name))
	if err != nil {
		return nil, fmt.Errorf("reading the staged %s: %w", name, err)
	}
	return f, nil
}

func (s *stage) Close() error { return host.RemoveTree(s.dir) }
