package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	confined "github.com/containerd/continuity/fs"
	// As in BuildKit's own programs: names of files are bytes, which the usual encoding refuses to
	// send when they are not UTF-8. It also makes less garbage.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
	"github.com/tonistiigi/fsutil"

	"github.com/linnet-dev/linnet/pkg/host"
)

// folder is a folder of the host as it is sent. What it adds keeps two things from being lost
// without a word: a file that may not be read would arrive empty, and one that goes away while
// the folder is listed would take those behind it along.
type folder struct {
	fsutil.FS
	dir string
	// lost is told what could not be read. BuildKit's sender has no way to say so: it leaves a
	// file that it cannot open empty, and waits for ever after one that it cannot read.
	lost func(error)
}

// Open implements fsutil.FS. A socket, and a file that is gone meanwhile, arrive empty, as with
// every client.
func (f folder) Open(path string) (io.ReadCloser, error) {
	file, err := f.FS.Open(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !f.isSocket(path) {
			f.lost(cannotRead(path, err))
		}
		return nil, err
	}
	return sent{file, path, f.lost}, nil
}

// file is where a regular file of the folder is, as BuildKit would find it in a copy: links lead to what is in
// the folder.
func (f folder) file(name string) (string, error) {
	path, err := confined.RootPath(f.dir, name)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return "", err
	}
	return filepath.Rel(f.dir, path)
}

func (f folder) isSocket(path string) bool {
	info, err := os.Lstat(filepath.Join(f.dir, path))
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// sent is an open file of a folder.
type sent struct {
	io.ReadCloser
	path string
	lost func(error)
}

func (s sent) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.lost(cannotRead(s.path, err))
	}
	return n, err
}

func cannotRead(path string, err error) error {
	return &host.HintError{
		Err: fmt.Errorf("reading the build context: %s: %w", path, reason(err)),
		Fix: "what a build does not need can be listed in .dockerignore, and is not read then",
	}
}

// Walk implements fsutil.FS. Where fn meets a file that has gone away, it may say so as itself or as
// fs.SkipDir (fsutil's filters do), which would end the folder that the file was in.
func (f folder) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	return f.FS.Walk(ctx, target, func(path string, entry fs.DirEntry, err error) error {
		if entry == nil || entry.IsDir() {
			return fn(path, entry, err)
		}
		file := &fleeting{DirEntry: entry}
		if err := fn(path, file, err); !file.gone {
			return err
		}
		return nil
	})
}

// fleeting is a file of a folder that is listed. It notices when it has gone away since.
type fleeting struct {
	fs.DirEntry
	gone bool
}

// Info implements fs.DirEntry.
func (e *fleeting) Info() (fs.FileInfo, error) {
	info, err := e.DirEntry.Info()
	e.gone = errors.Is(err, fs.ErrNotExist)
	return info, err
}
