package localdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Walk implements fsutil.FS, in the order of names. fsutil's own walk below a descriptor resolves
// each path anew, opens each file for its attributes and looks at what a filter leaves out: with
// 100,000 files that takes four times as long as a walk by paths. This one takes as long: it
// opens each directory once, in that above it.
func (f Dir) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	w := &walker{fn: fn, root: f.root, dir: f.Dir, links: map[uint64]string{}}
	if _, err := attributesOf(f.root); err != nil {
		return fmt.Errorf("reading the attributes of %s: %w", f.Dir, hint.Cause(err)) // all that is in it would seem gone
	}
	target = filepath.Clean(string(filepath.Separator) + target)[1:]
	if target == "" {
		return skipped(w.directory(ctx, f.root, "", false))
	}
	info, err := f.root.Lstat(target)
	if err != nil {
		if err = fn(target, nil, err); isGone(err) {
			return nil
		}
		return skipped(err)
	}
	parent, err := f.root.OpenRoot(filepath.Dir(target))
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }() // nothing was written
	in, err := openListed(parent)
	if err != nil {
		return err
	}
	defer in.Close()
	return skipped(w.entry(ctx, in, target, fs.FileInfoToDirEntry(info)))
}

func skipped(err error) error {
	if errors.Is(err, fs.SkipDir) || errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

// isGone reports whether an error says that a file went away, or is no longer a directory.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

type walker struct {
	fn fs.WalkDirFunc
	// root and dir are the directory's: its descriptor and its path.
	root *os.Root
	dir  string
	// links are files with several names that were seen, by inode, and the first name of each.
	links map[uint64]string
}

// listed is an open directory whose entries are looked at.
type listed struct {
	*os.Root
	file *os.File // the same once more, for what os.Root cannot do
}

func openListed(root *os.Root) (listed, error) {
	file, err := root.Open(".")
	return listed{root, file}, err
}

func (l listed) Close() { l.file.Close() }

// attributesOf are those of an open directory itself.
func attributesOf(root *os.Root) (map[string][]byte, error) {
	in, err := openListed(root)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return attributes(in.file, root, ".")
}

// directory walks what is in a directory. report says that fn is told when it cannot be listed.
func (w *walker) directory(ctx context.Context, root *os.Root, path string, report bool) error {
	in, err := openListed(root)
	if err != nil {
		return w.cannotList(path, report, err)
	}
	defer in.Close()
	entries, err := in.file.ReadDir(-1)
	if err != nil {
		if err = w.cannotList(path, report, err); err != nil {
			return err
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if err := w.entry(ctx, in, filepath.Join(path, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

// cannotList tells fn of a directory that cannot be listed, as fs.WalkDir does: a second time.
func (w *walker) cannotList(path string, report bool, err error) error {
	if isGone(err) {
		return nil
	}
	err = &fs.PathError{Op: "open", Path: filepath.Join(w.dir, path), Err: why(w.root, path, err)}
	if !report {
		return err
	}
	err = w.fn(path, &entry{path: path, kind: fs.ModeDir}, err)
	if isGone(err) || errors.Is(err, fs.SkipDir) {
		return nil
	}
	return err
}

// entry walks one entry of a directory, and what is in it.
func (w *walker) entry(ctx context.Context, in listed, path string, d fs.DirEntry) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	e := &entry{in: in, walker: w, path: path, name: d.Name(), kind: d.Type()}
	if e.kind&fs.ModeSymlink != 0 {
		// fsutil asks for what a link says when the walk has ended.
		if _, err := e.Info(); e.gone {
			return nil
		} else if err != nil {
			return err
		}
	}
	err := w.fn(path, e, nil)
	switch {
	case e.kind.IsDir() && (isGone(err) || errors.Is(err, fs.SkipDir)):
		return nil
	case !e.kind.IsDir() && (e.gone || isGone(err)):
		// A file that has gone away is not there; fn may say so as itself or as fs.SkipDir, as fsutil's filters
		// do, which would end the directory that it was in.
		return nil
	case err != nil || !e.kind.IsDir():
		return err
	}
	root, err := in.OpenRoot(e.name)
	if err != nil {
		return w.cannotList(path, true, err)
	}
	defer func() { _ = root.Close() }() // nothing was written
	return skipped(w.directory(ctx, root, path, true))
}

// entry is a file of a directory that is listed. What it is asked for is found in the directory that was
// listed, which stays open while the walk is below it.
type entry struct {
	in     listed
	walker *walker
	path   string
	name   string
	kind   fs.FileMode
	stat   *fstypes.Stat
	gone   bool // it has gone away since
}

func (e *entry) Name() string      { return e.name }
func (e *entry) IsDir() bool       { return e.kind.IsDir() }
func (e *entry) Type() fs.FileMode { return e.kind }

// Info implements fs.DirEntry: it is what fsutil sends of a file.
func (e *entry) Info() (fs.FileInfo, error) {
	if e.stat == nil {
		stat, err := e.read()
		if err == nil && fs.FileMode(stat.Mode).IsDir() != e.kind.IsDir() {
			// It would be sent as the one, and what is in it as if it were the other.
			err = e.replaced()
		}
		if err != nil {
			e.gone = isGone(err)
			return nil, err
		}
		e.stat = stat
	}
	return &fsutil.StatInfo{Stat: e.stat.Clone()}, nil
}

func (e *entry) read() (*fstypes.Stat, error) {
	stat, err := statAt(e.in.file, e.name, e.path, e.walker.links)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: filepath.Join(e.walker.dir, e.path), Err: err}
	}
	if fs.FileMode(stat.Mode)&fs.ModeSymlink != 0 {
		if stat.Linkname, err = e.in.Readlink(e.name); errors.Is(err, syscall.EINVAL) {
			return nil, e.replaced()
		} else if err != nil {
			return nil, err
		}
	}
	if stat.Xattrs, err = attributes(e.in.file, e.in.Root, e.name); err != nil {
		if isGone(err) {
			return nil, err
		}
		return nil, fmt.Errorf("reading the attributes of %s: %w", filepath.Join(e.walker.dir, e.path), hint.Cause(err))
	}
	return stat, nil
}

func (e *entry) replaced() error {
	return &fs.PathError{Op: "lstat", Path: filepath.Join(e.walker.dir, e.path), Err: errReplaced}
}
