package lintcmd

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/images"
	"github.com/linnet-dev/linnet/pkg/lens/layers"
)

// fromEngine reads an image of the engine's store, wherever the engine is: the first platform's that is wanted.
func fromEngine(ctx context.Context, env *cli.Env, name string, platform images.Platform) (*lens.Image, error) {
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	settings, err := env.Settings()
	if err != nil {
		return nil, err
	}
	if err := c.Guest.Ready(ctx); err != nil {
		return nil, err
	}
	c.Release()
	st, err := store.Open(ctx, c.Guest, string(settings.Engine.Snapshotter))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	d, err := st.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if platform.Name == "" {
		platform.Name = "linux/" + c.Arch
	}
	i, err := images.Read(ctx, stored{st}, name, images.Part{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}, platform)
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", name, err)
	}
	return i, nil
}

// stored is an engine's store as a source of images.
type stored struct{ *store.Store }

func (s stored) blob(ctx context.Context, p images.Part) (io.ReadCloser, error) {
	return s.Blob(ctx, ocispecs.Descriptor{MediaType: p.MediaType, Digest: digest.Digest(p.Digest), Size: p.Size})
}

// Text implements images.Source.
func (s stored) Text(ctx context.Context, p images.Part) ([]byte, error) {
	r, err := s.blob(ctx, p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return images.Bounded(r, p.Digest)
}

// Layer implements images.Source.
func (s stored) Layer(ctx context.Context, p images.Part) (*lens.Layer, error) {
	r, err := s.blob(ctx, p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return layers.Read(r)
}
