package host

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Resolve resolves the symbolic links of the part of an absolute path that is there, and
// returns that part too: what is not there yet, an engine may be asked to make.
func Resolve(path string) (resolved, there string, err error) {
	resolved, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && path != "/" {
		resolved, there, err = Resolve(filepath.Dir(path))
		return filepath.Join(resolved, filepath.Base(path)), there, err
	}
	return resolved, resolved, err
}
