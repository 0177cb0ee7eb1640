//go:build unix

package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process holds a lock.
var ErrLocked = errors.New("locked by another process")

// TryLock takes an advisory lock on a file (flock(2)), made if it is absent, and fails with
// ErrLocked at once if another process has it. Closing the file gives it back, and so does
// the end of this process.
func TryLock(path string) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if !current(f, path) {
		f.Close()
		return nil, ErrLocked // its holder is just removing it
	}
	return f, nil
}

// Lock waits for the lock that TryLock takes, or for the end of ctx. A lock whose file was
// removed meanwhile is worth nothing to the process that comes next: it is then taken anew.
func Lock(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := lock(ctx, path)
		if err != nil || current(f, path) {
			return f, err
		}
		f.Close()
	}
}

// current reports whether f is still the file at path.
func current(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(path)
	return err == nil && os.SameFile(ours, theirs)
}

func lock(ctx context.Context, path string) (*os.File, error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	got := make(chan error, 1)
	go func() {
		for {
			err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
			if !errors.Is(err, unix.EINTR) {
				got <- err
				return
			}
		}
	}()
	select {
	case err := <-got:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		return f, nil
	case <-ctx.Done():
		// The waiting thread ends with the process, or gives the lock straight back.
		go func() {
			<-got //nolint:errcheck // whatever came of it, the file goes
			f.Close()
		}()
		return nil, ctx.Err()
	}
}

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	return f, nil
}
