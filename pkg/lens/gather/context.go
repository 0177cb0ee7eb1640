package gather

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lens"
)

// contextKey says which contexts are one: of one directory, with one .dockerignore.
type contextKey struct{ dir, ignore string }

// contextOnce is a context that is read once, however many Dockerfiles are built from it.
type contextOnce struct {
	once sync.Once
	*lens.Context
	err error
}

// context lists a directory as a build sees it.
func (r *reader) context(ctx context.Context, dir string, ignore []byte) (*lens.Context, error) {
	r.lock.Lock()
	one := r.contexts[contextKey{dir, string(ignore)}]
	if one == nil {
		one = &contextOnce{}
		r.contexts[contextKey{dir, string(ignore)}] = one
	}
	r.lock.Unlock()
	one.once.Do(func() { one.Context, one.err = r.list(ctx, dir, ignore) })
	return one.Context, one.err
}

// systems are directories of the system: no project is in them as a whole.
var systems = []string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/opt", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var", "/Users", "/System", "/Library", "/Applications"}

func (r *reader) list(ctx context.Context, dir string, ignore []byte) (*lens.Context, error) {
	x := &lens.Context{Dir: r.host.shown(dir)}
	switch {
	case dir == r.host.Home:
		x.Refused = "your home directory"
	case slices.Contains(systems, dir):
		x.Refused = "a directory of the system, " + dir
	}
	if x.Refused != "" {
		return x, nil
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(ignore))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(x.Dir, localdir.IgnoreSuffix), err)
	}
	x.Ignored = len(patterns) > 0
	in, err := localdir.Open(dir, ignoreLost)
	if err != nil {
		return nil, fmt.Errorf("reading the build context %s: %w", x.Dir, hint.Cause(err))
	}
	defer in.Close()
	sent, err := fsutil.NewFilterFS(in, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(x.Dir, localdir.IgnoreSuffix), err)
	}
	err = sent.Walk(ctx, "", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && e != nil && e.IsDir():
			return fs.SkipDir // a build says that it may not be read
		case err != nil:
			return err
		case !e.Type().IsRegular():
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		f := lens.File{Path: filepath.ToSlash(path), Size: info.Size()}
		f.Key = lens.MayBeKey(f.Path) && isKey(in, path)
		x.Files = append(x.Files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the build context %s: %w", x.Dir, hint.Cause(err))
	}
	return x, nil
}

// mostHead is how much of a file is looked at, in bytes: a private key is named in its first lines, but for JSON.
const mostHead = 4096

// isKey reports whether a file begins as one with a private key. One that may not be read does not.
func isKey(in localdir.Dir, path string) bool {
	file, err := in.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head, _ := io.ReadAll(io.LimitReader(file, mostHead)) // what cannot be read is no key
	return lens.IsKey(head)
}
