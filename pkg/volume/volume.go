//go:build linux

// Package volume puts an archive of files into a volume of the engine, on the engine's machine and as root: owners, modes, times,
// devices, hard links, capabilities and holes are as they were. It is linked into the agent's program, which a client runs.
//
// It must not know where archives come from.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Usage is the command line that Main reads.
const Usage = "linnet-agent volume unpack|finish|whole DIR"

// NotWhole is the exit code of `whole` where the volume's content did not come to its end.
const NotWhole = 3

// marker is a file beside a volume's directory, inside the volume's own: it goes with the volume. It says that all has come.
const marker = "linnet-whole"

// Main is `linnet-agent volume`. DIR is the directory with a volume's files. `unpack` empties it and unpacks the archive on standard
// input into it; an archive that was cut where one file ends looks whole to it. So who has read all of the archive says so with
// `finish`. `whole` reports by its exit code whether that was done. It returns an exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stderr io.Writer) int {
	if len(args) != 2 || !filepath.IsAbs(args[1]) {
		fmt.Fprintln(stderr, "usage:", Usage)
		return 2
	}
	dir := filepath.Clean(args[1])
	beside := filepath.Join(filepath.Dir(dir), marker)
	var err error
	switch args[0] {
	case "unpack":
		err = unpackInto(ctx, dir, beside, stdin)
	case "finish":
		err = finish(dir, beside)
	case "whole":
		if _, err = os.Stat(beside); errors.Is(err, fs.ErrNotExist) {
			return NotWhole
		}
	default:
		fmt.Fprintln(stderr, "usage:", Usage)
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "linnet-agent:", err)
		return 1
	}
	return 0
}

// finish marks a volume as whole once its files are on the disk.
func finish(dir, beside string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing the volume: %w", hint.PathCause(err))
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	return host.WriteFile(beside, nil, 0o600)
}

// unpackInto replaces all that is in a directory.
func unpackInto(ctx context.Context, dir, beside string, archive io.Reader) error {
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("emptying the volume: %w", hint.PathCause(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("writing the volume: %w", hint.PathCause(err))
	}
	defer func() { _ = root.Close() }() // it was only read
	old, err := fs.ReadDir(root.FS(), ".")
	for _, e := range old {
		err = errors.Join(err, host.RemoveTree(filepath.Join(dir, e.Name())))
	}
	if err != nil {
		return fmt.Errorf("emptying the volume: %w", err)
	}
	if err := Unpack(ctx, root, archive); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, archive) // what fills its last block
	return err
}
