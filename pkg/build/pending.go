package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/moby/buildkit/identity"
)

// pending is a result that becomes a file once the build has succeeded. Until then what was there
// before stays, and no half of it is ever seen under its name.
type pending struct {
	path string

	mu      sync.Mutex
	file    *os.File
	dropped bool
}

// open makes the file that is written, beside the one that it becomes. What is no regular file, a
// pipe or /dev/null, is written to as it is.
func (p *pending) open(map[string]string) (io.WriteCloser, error) {
	if info, err := os.Stat(p.path); err == nil && !info.Mode().IsRegular() {
		return os.OpenFile(p.path, os.O_WRONLY, 0)
	}
	dir, name := filepath.Split(p.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dropped {
		return nil, context.Canceled
	}
	// Not os.CreateTemp: the mode is what the user's umask says.
	f, err := os.OpenFile(filepath.Join(dir, "."+name+"."+identity.NewID()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	p.file = f
	return f, nil
}

// commit gives the file its name.
func (p *pending) commit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	var err error
	if info, serr := os.Stat(p.path); serr == nil {
		err = os.Chmod(p.file.Name(), info.Mode().Perm())
	}
	if err := errors.Join(err, os.Rename(p.file.Name(), p.path)); err != nil {
		return fmt.Errorf("writing the result to %s: %w", p.path, err)
	}
	p.file = nil
	return nil
}

// drop removes what was not given a name.
func (p *pending) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped = true
	if p.file != nil {
		_ = errors.Join(p.file.Close(), os.Remove(p.file.Name())) // it is not referred to
	}
}
