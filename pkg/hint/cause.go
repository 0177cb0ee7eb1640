package hint

import (
	"errors"
	"fmt"
	"io/fs"
)

// Cause is a file's error without the operation and the path, for a sentence that names both: "permission denied".
func Cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// PathCause is a file's error without the operation: "PATH: permission denied".
func PathCause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return err
}
