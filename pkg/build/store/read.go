package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/hint"
)

var errNoImage = errors.New("there is none of that name")

// leastID is how many letters of an image's digest name it.
const leastID = 6

// Find is what an image is, by its name or by the beginning of its digest. An error with a hint says that there is none.
func (st *Store) Find(ctx context.Context, name string) (ocispecs.Descriptor, error) {
	all := imagesapi.NewImagesClient(st.conn)
	ctx = namespaces.WithNamespace(ctx, namespace)
	if named, err := reference.ParseDockerRef(name); err == nil {
		got, err := all.Get(ctx, &imagesapi.GetImageRequest{Name: named.String()})
		if err == nil {
			return target(got.GetImage().GetTarget()), nil
		}
		if status.Code(err) != codes.NotFound {
			return ocispecs.Descriptor{}, fmt.Errorf("looking for the image %s: %w", name, err)
		}
	}
	if id := strings.TrimPrefix(name, "sha256:"); len(id) >= leastID && strings.Trim(id, "0123456789abcdef") == "" {
		list, err := all.List(ctx, &imagesapi.ListImagesRequest{})
		if err != nil {
			return ocispecs.Descriptor{}, fmt.Errorf("looking for the image %s: %w", name, err)
		}
		for _, i := range list.GetImages() {
			if strings.HasPrefix(i.GetTarget().GetDigest(), "sha256:"+id) {
				return target(i.GetTarget()), nil
			}
		}
	}
	return ocispecs.Descriptor{}, hint.With(fmt.Errorf("looking for the image %s: %w", name, errNoImage), "linnet image ls lists those that are here, linnet pull "+name+" fetches it")
}

func target(d *types.Descriptor) ocispecs.Descriptor {
	return ocispecs.Descriptor{MediaType: d.GetMediaType(), Digest: digest.Digest(d.GetDigest()), Size: d.GetSize(), Annotations: d.GetAnnotations()}
}

// Blob opens a part of an image. The error is fs.ErrNotExist when the store does not have it.
func (st *Store) Blob(ctx context.Context, d ocispecs.Descriptor) (io.ReadCloser, error) {
	blob, err := st.blobs.ReaderAt(namespaces.WithNamespace(ctx, namespace), d)
	if cerrdefs.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", d.Digest, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return &reader{content.NewReader(blob), blob}, nil
}

type reader struct {
	io.Reader
	io.Closer
}
