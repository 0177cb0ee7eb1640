package store

import (
	"context"
	"errors"
	"fmt"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/distribution/reference"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Images says which of the images are there: the digest by which it knows
// each, under the name that was asked for.
func (st *Store) Images(ctx context.Context, names []string) (map[string]string, error) {
	images := imagesapi.NewImagesClient(st.conn)
	ctx = namespaces.WithNamespace(ctx, namespace)
	found := map[string]string{}
	for _, name := range names {
		full, err := FullName(name)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		got, err := images.Get(ctx, &imagesapi.GetImageRequest{Name: full})
		if status.Code(err) == codes.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking for the image %s: %w", name, err)
		}
		found[name] = got.GetImage().GetTarget().GetDigest()
	}
	return found, nil
}

// FullName is an image's whole name, as the image store has it.
func FullName(tag string) (string, error) {
	named, err := reference.ParseNormalizedNamed(tag)
	if err == nil {
		if _, pinned := named.(reference.Digested); !pinned {
			return reference.TagNameOnly(named).String(), nil
		}
		err = errors.New("a digest cannot be given to what is yet to be built")
	}
	return "", &hint.Error{Err: fmt.Errorf("--tag %q: %w", tag, err), Fix: "NAME or NAME:TAG, in lower case"}
}
