// Package localdir reads the directories that a build sends, and the Dockerfile, below a descriptor: a user who may write there
// cannot have another file sent. It must not know who asks for them: no BuildKit.
package localdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	confined "github.com/containerd/continuity/fs"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Dir is one directory of the host, as it is sent. Everything in it is read below a descriptor of
// it, so that a user who may write the directory cannot have a file sent that is not in it, by
// putting a link in the place of a directory while it is read. It also keeps two things from being
// lost without a word: a file that may not be read would arrive empty, and one that goes away while
// the directory is listed would take those behind it along.
type Dir struct {
	root *os.Root
	self *os.File // the same once more, for what os.Root cannot do
	Dir  string   // its path, for messages
	// Lost is told what could not be read. BuildKit's sender has no way to say so: it leaves a
	// file that it cannot open empty, and waits for ever after one that it cannot read.
	Lost func(error)
}

// Open opens a directory by the path that the user gave, whatever links lead there.
func Open(dir string, lost func(error)) (Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Dir{}, err
	}
	return dirOf(root, dir, lost)
}

func dirOf(root *os.Root, dir string, lost func(error)) (Dir, error) {
	file, err := root.Open(".")
	if err != nil {
		_ = root.Close() // nothing was written
		return Dir{}, err
	}
	return Dir{root, file, dir, lost}, nil
}

// Close closes the descriptors; nothing is written through them.
func (f Dir) Close() {
	_ = f.root.Close()
	_ = f.self.Close()
}

// below opens a directory of the directory. No link on the way leads out of it.
func (f Dir) below(dir string) (Dir, error) {
	root, err := f.root.OpenRoot(dir)
	if err != nil {
		return Dir{}, err
	}
	return dirOf(root, filepath.Join(f.Dir, dir), f.Lost)
}

// Open implements fsutil.FS. A socket, and a file that is gone meanwhile, arrive empty, as with
// every client. What is no longer the file that was listed, but a link or a pipe, is an error.
func (f Dir) Open(path string) (io.ReadCloser, error) {
	file, err := f.open(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !f.isSocket(path) {
			f.Lost(cannotRead(path, why(f.root, path, err)))
		}
		return nil, err
	}
	return sent{file, path, f.Lost}, nil
}

// why says what is wrong with a path that was listed, without the path. What is no error of the system's is
// os.Root's own: a link leads out.
func why(root *os.Root, path string, err error) error {
	var system syscall.Errno
	own := !errors.As(err, &system) && !errors.Is(err, errNotRegular)
	if own || system == syscall.ELOOP || system == syscall.EXDEV || isLink(root, path) || isLink(root, filepath.Dir(path)) {
		return errReplaced
	}
	return hint.Cause(err)
}

var errReplaced = errors.New("something else took its place while it was read")

func isLink(root *os.Root, path string) bool {
	info, err := root.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// open opens a regular file; it does not follow a link of that name, nor wait for who writes a pipe.
func (f Dir) open(path string) (*os.File, error) {
	file, err := openBeneath(f.self, path)
	if errors.Is(err, errors.ErrUnsupported) {
		file, err = f.root.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

var errNotRegular = errors.New("not a regular file")

func notRegular(path string) error { return &fs.PathError{Op: "open", Path: path, Err: errNotRegular} }

// Read is the content of one file, found as BuildKit would find it in a copy of the directory, where links lead
// to what is in the directory. More than limit bytes are an error.
func (f Dir) Read(name string, limit int64) ([]byte, error) {
	name, err := f.file(name)
	if err != nil {
		return nil, err
	}
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = tooLarge(limit)
	}
	return text, err
}

func tooLarge(limit int64) error {
	if limit < 1<<20 {
		return fmt.Errorf("it has more than %d KiB", limit>>10)
	}
	return fmt.Errorf("it has more than %d MiB", limit>>20)
}

// file is where a regular file of the directory is, as BuildKit would find it in a copy.
func (f Dir) file(name string) (string, error) {
	path, err := confined.RootPath(f.Dir, name)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Rel(f.Dir, path); err != nil {
		return "", err
	}
	info, err := f.root.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = notRegular(name)
	}
	return path, err
}

func (f Dir) isSocket(path string) bool {
	info, err := f.root.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// sent is an open file of a directory.
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
	return hint.With(fmt.Errorf("reading the build context: %s: %w", path, hint.Cause(err)),
		"what a build does not need can be listed in .dockerignore, and is not read then")
}

// ErrFile is what Check says of a file.
var ErrFile = errors.New("it is a file, not a directory")

// Check says why a path is no directory.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return hint.Cause(err)
	}
	if !info.IsDir() {
		return ErrFile
	}
	return nil
}
