package lima

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// below reports whether a path is a directory, or in it, as they are spelled; both are clean.
func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// names tells directories by what they are: a bind mount, a firmlink of macOS and, where case does not
// count, another spelling are more paths of the same one.
type names struct {
	// same reports whether two paths are one file. A path that leads over symbolic links is none: what
	// is behind them is where it is.
	same func(path, other string) bool
	// mounts are what is mounted.
	mounts []host.Mount
}

func hostNames() names {
	mounts, _ := host.Mounts() // without them, same finds the most of it
	return names{same: sameFile, mounts: mounts}
}

// inside reports whether a path is a directory, or in it, by any name of either.
func (n names) inside(path, dir string) bool {
	for at := path; ; at = filepath.Dir(at) {
		if below(at, dir) || n.same(at, dir) || slices.ContainsFunc(n.bound(at), func(p string) bool { return below(p, dir) && n.same(p, at) }) {
			return true
		}
		if at == "/" {
			return false
		}
	}
}

// others are the paths of a directory in a share, beside the one that it is known by. The directory need
// not be there yet.
func (n names) others(share, dir string) (found []string) {
	known, missing := dir, ""
	for !n.same(known, known) && known != "/" {
		known, missing = filepath.Dir(known), filepath.Join(filepath.Base(known), missing)
	}
	candidates := n.bound(known)
	for at, rest := known, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		candidates = append(candidates, filepath.Join(share, rest))
		if at == "/" {
			break
		}
	}
	for _, c := range candidates {
		path := filepath.Join(c, missing)
		if path != dir && below(path, share) && !slices.Contains(found, path) && n.same(c, known) {
			found = append(found, path)
		}
	}
	return found
}

// bound are the paths that bind mounts, and what they are of, give a path.
func (n names) bound(path string) (paths []string) {
	var own host.Mount
	for _, m := range n.mounts {
		if below(path, m.Point) && len(m.Point) >= len(own.Point) {
			own = m
		}
	}
	within := filepath.Join(own.Root, strings.TrimPrefix(path, own.Point))
	for _, m := range n.mounts {
		if m.Device == own.Device && m.Root != "" && below(within, m.Root) {
			paths = append(paths, filepath.Join(m.Point, strings.TrimPrefix(within, m.Root)))
		}
	}
	return paths
}

func sameFile(path, other string) bool {
	if real, err := filepath.EvalSymlinks(path); err != nil || real != path {
		return false
	}
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(other)
	return err == nil && os.SameFile(a, b)
}
