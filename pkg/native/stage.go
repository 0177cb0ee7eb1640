package native

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// stage is a private folder below /run, which is memory. Its name says whose it is: the
// agent removes it when this process is gone without having closed it.
type stage struct{ dir string }

// Stage makes a private directory in memory.
func (n *Native) Stage(context.Context) (guest.Stage, error) {
	parent := n.o.Layout.Stages()
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("staging files: %w", err)
	}
	dir, err := os.MkdirTemp(parent, host.StagePrefix())
	if err != nil {
		return nil, fmt.Errorf("staging files: %w", err)
	}
	return &stage{dir}, nil
}

func (s *stage) Put(_ context.Context, name string, mode fs.FileMode, r io.Reader) (string, error) {
	path := s.Path(name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("staging %s: %w", name, err)
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return "", fmt.Errorf("staging %s: %w", name, err)
	}
	if err := f.Chmod(mode); err != nil {
		return "", fmt.Errorf("staging %s: %w", name, err)
	}
	return path, f.Close()
}

func (s *stage) Path(name string) string { return filepath.Join(s.dir, filepath.Base(name)) }

func (s *stage) Get(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(s.Path(name))
	if err != nil {
		return nil, fmt.Errorf("reading the staged %s: %w", name, err)
	}
	return f, nil
}

func (s *stage) Close() error { return os.RemoveAll(s.dir) }
