package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tempPrefix begins the name of a directory in the cache that is still being made.
const tempPrefix = "tmp-"

// lockCache takes the cache for this run alone and returns how to give it back. waiting is
// called once when another run has it. The kernel gives the lock back when a run dies.
func lockCache(ctx context.Context, cache string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, &hintError{fmt.Errorf("making the cache: %w", err), "name another with -cache"}
	}
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, &hintError{fmt.Errorf("locking the cache: %w", err), "name another with -cache"}
	}
	unlock = func() { f.Close() }
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return unlock, nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		unlock()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	waiting()
	locked := make(chan error, 1)
	go func() {
		for {
			err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			if !errors.Is(err, syscall.EINTR) {
				locked <- err
				return
			}
		}
	}()
	select {
	case <-ctx.Done(): // the goroutine keeps the file; the process is about to end
		return nil, ctx.Err()
	case err := <-locked:
		if err != nil {
			unlock()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		return unlock, nil
	}
}

// sweep removes what interrupted runs left. The caller holds the cache, so no other build is still
// writing there.
func sweep(cache string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.RemoveAll(filepath.Join(cache, e.Name())); err != nil {
				return fmt.Errorf("removing what an interrupted run left: %w", err)
			}
		}
	}
	return nil
}

// cached looks for a finished and undamaged build of j.
func (b *builder) cached(j job) (record, bool) {
	dir := filepath.Join(b.cache, j.entry())
	m, err := readManifest(dir)
	if err != nil {
		return record{}, false
	}
	r := m.of(j.component.Name)
	return r, r.Key == j.key && len(r.Files) == len(j.commands) && r.intact(dir)
}

// build makes j and puts it into the cache, whole or not at all.
func (b *builder) build(ctx context.Context, j job) (r record, err error) {
	temp, err := os.MkdirTemp(b.cache, tempPrefix+j.component.Name+"-")
	if err != nil {
		return record{}, err
	}
	defer func() { // gone already when all went well
		err = errors.Join(err, os.RemoveAll(temp))
	}()
	work, made := filepath.Join(temp, "work"), filepath.Join(temp, "made")
	for _, dir := range []string{work, made} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return record{}, err
		}
	}
	dir, err := b.mend(ctx, j, temp)
	if err != nil {
		return record{}, err
	}
	for _, c := range j.commands {
		if err := b.compile(ctx, j, c, dir, work, filepath.Join(made, filepath.FromSlash(c.File))); err != nil {
			return record{}, err
		}
	}
	if r, err = j.record(made); err != nil {
		return record{}, err
	}
	if err := (manifest{[]record{r}}).write(made); err != nil {
		return record{}, err
	}
	final := filepath.Join(b.cache, j.entry())
	if err := os.RemoveAll(final); err != nil { // a damaged one, see cached
		return record{}, err
	}
	return r, os.Rename(made, final)
}
