//go:build unix

package host_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
)

func TestALockIsHeldByOneAndGivenBackByClosing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := host.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := host.TryLock(path); !errors.Is(err, host.ErrLocked) {
		t.Errorf("the second holder got %v", err)
	}
	got := make(chan *os.File)
	go func() {
		f, err := host.Lock(t.Context(), path)
		if err != nil {
			t.Error(err)
		}
		got <- f
	}()
	first.Close()
	(<-got).Close()
	again, err := host.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := host.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := host.Lock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A holder may remove the lock with everything else. A process that waited for it must not believe
// that it has what the next one will look at.
func TestALockThatWasRemovedIsTakenAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	first, err := host.TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *os.File)
	go func() {
		f, err := host.Lock(t.Context(), path)
		if err != nil {
			t.Error(err)
		}
		got <- f
	}()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := <-got
	defer second.Close()
	if _, err := host.TryLock(path); !errors.Is(err, host.ErrLocked) {
		t.Errorf("the lock that was waited for is not the one at its path: %v", err)
	}
	if _, err := host.Lock(t.Context(), filepath.Join(dir, "gone", "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a lock in no directory: %v", err)
	}
}

func TestWriteFileReplacesWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := host.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := host.WriteFile(path, []byte("two"), 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if text, _ := os.ReadFile(path); err != nil || string(text) != "two" || info.Mode() != 0o640 {
		t.Errorf("%q, %v, %v", text, info, err)
	}
	// It cannot take the place of a directory, and leaves nothing beside it.
	if err := os.Mkdir(filepath.Join(dir, "subdir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := host.WriteFile(filepath.Join(dir, "subdir"), []byte("three"), 0o600); err == nil {
		t.Error("a file took the place of a directory")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the directory holds %v (%v)", entries, err)
	}
}
