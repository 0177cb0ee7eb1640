package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	// As in BuildKit's own programs: names of files are bytes, which the usual encoding refuses to
	// send when they are not UTF-8. It also makes less garbage.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
	"github.com/tonistiigi/fsutil"
)

// folder is a folder of the host as it is sent. What it adds keeps two things from being lost
// without a word: a file that may not be read would arrive empty, and one that goes away while
// the folder is listed would take those behind it along.
type folder struct{ fsutil.FS }

// Open implements fsutil.FS. A file that is gone meanwhile arrives empty, as with every client.
func (f folder) Open(path string) (io.ReadCloser, error) {
	file, err := f.FS.Open(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	// Only what Read says is passed on.
	return unreadableFile{fmt.Errorf("reading %s: %w", path, reason(err))}, nil
}

// Walk implements fsutil.FS.
func (f folder) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	return f.FS.Walk(ctx, target, func(path string, entry fs.DirEntry, err error) error {
		err = fn(path, entry, err)
		if errors.Is(err, fs.ErrNotExist) && entry != nil && !entry.IsDir() {
			return nil
		}
		return err
	})
}

type unreadableFile struct{ err error }

func (u unreadableFile) Read([]byte) (int, error) { return 0, u.err }

func (unreadableFile) Close() error { return nil }
