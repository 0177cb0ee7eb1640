package guestimage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// MismatchError says that what came is not what was expected.
type MismatchError struct{ Has, Want Digest }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("its digest is %s, and %s is expected; nothing of it is used", e.Has, e.Want)
}

// Hint is what to do about it.
func (e *MismatchError) Hint() string {
	return "take the file that belongs to this linnet; one that you trust is taken by its own digest"
}

// Import takes a packed form from a file or a pipe into the store. want is its digest; "" takes what comes. It returns
// the digest that it has.
func (s *Store) Import(ctx context.Context, from io.Reader, want Digest, note Note) (d Digest, err error) {
	err = s.locked(ctx, note, func() error {
		file, regular, err := regularFile(from)
		if err != nil {
			return err
		}
		if !regular {
			if file, err = s.spool(ctx, from, note); err != nil {
				return err
			}
			defer s.unspool(file)
		}
		note.tell("checking it")
		if d, err = hash(ctx, file); err != nil {
			return err
		}
		if want != "" && d != want {
			return &MismatchError{Has: d, Want: want}
		}
		return s.add(ctx, file, d, note)
	})
	return d, err
}

// regularFile returns a reader as the file that it is, if that can be read twice.
func regularFile(r io.Reader) (file *os.File, regular bool, err error) {
	file, ok := r.(*os.File)
	if !ok {
		return nil, false, nil
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = hint.New("it is a directory", "set vm.image to it: it is used where it is")
	}
	return file, err == nil && info.Mode().IsRegular(), err
}

// spool keeps what comes through a pipe, which cannot be read twice.
func (s *Store) spool(ctx context.Context, from io.Reader, note Note) (*os.File, error) {
	file, err := os.OpenFile(s.layout.ImageImport(), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, host.HomeError(s.layout.Home, err)
	}
	note.tell("reading it")
	n, err := io.Copy(file, io.LimitReader(cancelled{ctx, from}, mostPacked+1))
	if err == nil && n > mostPacked {
		err = malformed("it has more than %s", sizeText(mostPacked))
	}
	if err != nil {
		s.unspool(file)
		return nil, s.written(err)
	}
	return file, nil
}

func (s *Store) unspool(file *os.File) {
	file.Close()
	_ = os.Remove(file.Name()) // the next import begins it anew
}

// hash is the digest of a file, from its beginning.
func hash(ctx context.Context, file *os.File) (Digest, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(cancelled{ctx, file}, mostPacked+1))
	if err != nil {
		return "", err
	}
	if n > mostPacked {
		return "", malformed("it has more than %s", sizeText(mostPacked))
	}
	return digestOf(sum.Sum(nil)), nil
}

// add unpacks a file whose digest was checked. It is read once more, so it is checked once more: the directory gets its name
// only when what was unpacked had the digest. The caller has the lock.
func (s *Store) add(ctx context.Context, file *os.File, d Digest, note Note) (err error) {
	if s.Has(d) {
		return nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	note.tell("unpacking it")
	dir := s.unfinished(d)
	if err := errors.Join(host.RemoveTree(dir), host.RemoveTree(s.Dir(d))); err != nil { // of a process that was killed
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(s.written(err), host.RemoveTree(dir))
		}
	}()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	sum := sha256.New()
	in := io.TeeReader(cancelled{ctx, file}, sum)
	err = unpack(in, dir, roomIn(s.layout.Images(), s.free))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if has := digestOf(sum.Sum(nil)); has != d {
		return &MismatchError{Has: has, Want: d}
	}
	return os.Rename(dir, s.Dir(d))
}

// written is what it means that something could not be written to the store; what was wrong with an image stays as it is.
func (s *Store) written(err error) error {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err
	}
	return host.HomeError(s.layout.Images(), err)
}

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context //nolint:containedctx // it is one call's reader
	r   io.Reader
}

func (c cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
