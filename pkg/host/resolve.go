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

// PathReason is a file error without the system call's name: "PATH: permission denied".
func PathReason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Path + ": " + path.Err.Error()
	}
	return err.Error()
}
