package build

import (
	"context"
	"fmt"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Images says which of the images are in the engine's image store: the digest by which it knows
// each, under the name that was asked for.
func (s Session) Images(ctx context.Context, names []string) (map[string]string, error) {
	if err := s.Guest.Ready(ctx); err != nil {
		return nil, err
	}
	store, err := s.openStore(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.conn.Close() }() // it was read from, and no more
	images := imagesapi.NewImagesClient(store.conn)
	ctx = namespaces.WithNamespace(ctx, namespace)
	found := map[string]string{}
	for _, name := range names {
		full, err := fullName(name)
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
