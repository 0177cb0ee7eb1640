package client

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// openIn opens a host file, or a tar stream of a host path, to be read by the command.
func openIn(f *crossing.HostFile) (io.ReadCloser, error) {
	if f.Tar {
		return packPath(f.Path, f.FollowLink)
	}
	in, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("reading %w", hint.PathCause(err))
	}
	return in, nil
}

// outFile takes what a command writes and becomes the host's file only when all went well.
type outFile struct {
	io.Writer
	finish func() error
	undo   func()
}

// openOut opens a host file to be written. What copied files lose on the way is told on errs.
func openOut(f *crossing.HostFile, errs io.Writer) (*outFile, error) {
	if f.Tar {
		return unpackTo(f, errs)
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", f.Path, pathReason(err))
	}
	return &outFile{
		Writer: tmp,
		finish: func() error {
			err := tmp.Chmod(0o644)
			if err == nil {
				err = tmp.Close()
			}
			if err == nil {
				err = os.Rename(tmp.Name(), f.Path)
			}
			if err != nil {
				return fmt.Errorf("writing %s: %w", f.Path, pathReason(err))
			}
			return nil
		},
		undo: func() {
			tmp.Close()
			_ = os.Remove(tmp.Name())
		},
	}, nil
}

func (o *outFile) keep() error {
	finish := o.finish
	o.finish, o.undo = nil, nil
	if finish == nil {
		return nil
	}
	return finish()
}

func (o *outFile) discard() {
	if o.undo != nil {
		o.undo()
	}
}

func pathReason(err error) error {
	if path, ok := err.(*os.PathError); ok { //nolint:errorlint // the outermost only
		return path.Err
	}
	return err
}

// contentsOnly reports whether a path was typed as a/. : the directory's contents and not itself.
func contentsOnly(path string) bool { return strings.HasSuffix(path, "/.") }
