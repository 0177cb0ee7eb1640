package guesttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// memory is where Linux has a file system in memory for everybody.
const memory = "/dev/shm"

// Stage makes a directory in memory, or under Root where there is no such place. A fake has
// no connection that could end, so it is gone only when it is closed.
func (f *Fake) Stage(ctx context.Context) (guest.Stage, error) {
	if err := f.Ready(ctx); err != nil {
		return nil, err
	}
	parent := memory
	if st, err := os.Stat(memory); err != nil || !st.IsDir() {
		parent = f.home
	}
	dir, err := os.MkdirTemp(parent, "guesttest-stage-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("making a stage: %w", err)
	}
	return &fakeStage{dir: dir}, nil
}

type fakeStage struct{ dir string }

func (s *fakeStage) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (path string, err error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return "", fmt.Errorf("staging %q: %w", name, err)
	}
	f, err := os.OpenFile(s.Path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("staging %q: %w", name, err)
	}
	// The mode of OpenFile would be cut by our umask.
	_, copyErr := io.Copy(f, r)
	if err := errors.Join(copyErr, f.Chmod(mode), f.Close()); err != nil {
		_ = os.Remove(s.Path(name))
		return "", fmt.Errorf("staging %q: %w", name, err)
	}
	return s.Path(name), nil
}

func (s *fakeStage) Path(name string) string { return filepath.Join(s.dir, name) }

func (s *fakeStage) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return nil, fmt.Errorf("fetching %q: %w", name, err)
	}
	f, err := os.Open(s.Path(name))
	if err != nil {
		return nil, fmt.Errorf("fetching a staged file: %w", err)
	}
	return f, nil
}

func (s *fakeStage) Close() error { return os.RemoveAll(s.dir) }

// checkName refuses what is not the name of a file right in the stage.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return errors.New("not a file name")
	}
	return nil
}
