package guestimage

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Fetch brings the image of a source, which has a digest, into the store, unless it is there. Of several processes one does,
// and the others wait for it. What has come stays when it fails, and the next Fetch goes on from there; a file that is not
// what the digest says goes. Its errors say what is wrong, and not with which source; they have a hint.
func (s *Store) Fetch(ctx context.Context, from Source, note Note) error {
	if from.Digest == "" {
		return errors.New("fetching an image: it has no digest")
	}
	return s.locked(ctx, note, func() error {
		switch {
		case s.Has(from.Digest):
			return nil
		case from.URL == "":
			return s.takeFile(ctx, from, note)
		}
		return s.download(ctx, from, note)
	})
}

// Place is where the source is, for people.
func (s Source) Place() string { return cmp.Or(s.URL, s.Path, string(s.Digest)) }

func (s *Store) takeFile(ctx context.Context, from Source, note Note) error {
	file, err := os.Open(from.Path)
	if err != nil {
		return hint.With(hint.Cause(err), "name a packed image in vm.image")
	}
	defer file.Close()
	note.tell("checking it")
	return s.check(ctx, file, from.Digest, note)
}

// check adds a file when it is what is expected.
func (s *Store) check(ctx context.Context, file *os.File, want Digest, note Note) error {
	has, err := hash(ctx, file)
	if err != nil {
		return err
	}
	if has != want {
		return &MismatchError{Has: has, Want: want}
	}
	return s.add(ctx, file, want, note)
}

// download fetches into a file that stays until the image is there.
func (s *Store) download(ctx context.Context, from Source, note Note) error {
	path := s.layout.ImagePart(from.Digest.Hex())
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return host.HomeError(s.layout.Home, err)
	}
	defer file.Close()
	t := transfer{
		network: s.net, url: from.URL, file: file, origin: s.layout.ImageOrigin(from.Digest.Hex()), note: note,
		room: roomIn(s.layout.Images(), s.free),
	}
	if err := t.run(ctx); err != nil {
		if at, sizeErr := file.Seek(0, io.SeekEnd); sizeErr == nil && at == 0 {
			_ = s.removePart(from.Digest) // nothing has come that could be gone on from
		}
		return s.written(err)
	}
	note.tell("checking it")
	err = s.check(ctx, file, from.Digest, note)
	var mismatch *MismatchError
	var bad *malformedError
	if err == nil || errors.As(err, &mismatch) || errors.As(err, &bad) {
		err = errors.Join(err, s.removePart(from.Digest))
	}
	return err
}
