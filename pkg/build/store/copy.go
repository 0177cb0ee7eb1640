package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// CopyOut copies an image, NAME:TAG@DIGEST, into an image layout, with all platforms that are here. An error of the kind
// "not found" says that it is not whole. An image without a digest has no name, and is not copied.
func (st *Store) CopyOut(ctx context.Context, to content.Store, image string) (name string, desc ocispecs.Descriptor, err error) {
	name, d, ok := splitPinned(image)
	if !ok {
		return "", desc, nil
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	if desc, err = describe(ctx, st.blobs, d); err != nil {
		return name, desc, err
	}
	return name, desc, copyImage(ctx, st.blobs, to, desc)
}

// CopyIn puts images of a layout into the image store, but for those whose names are taken there, and returns the names of
// those that it put there.
func (st *Store) CopyIn(ctx context.Context, from content.Store, all []string) (copied []string, err error) {
	ctx, end, err := st.lease(namespaces.WithNamespace(ctx, namespace))
	if err != nil {
		return nil, err
	}
	defer end()
	named := imagesapi.NewImagesClient(st.conn)
	for _, image := range all {
		name, d, ok := splitPinned(image)
		if !ok {
			continue
		}
		if _, err := named.Get(ctx, &imagesapi.GetImageRequest{Name: name}); err == nil {
			continue
		}
		desc, err := describe(ctx, from, d)
		if err == nil {
			err = copyImage(ctx, from, st.blobs, desc)
		}
		if err != nil {
			return copied, fmt.Errorf("%s: %w", image, err)
		}
		target := &types.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest.String(), Size: desc.Size}
		if _, err := named.Create(ctx, &imagesapi.CreateImageRequest{Image: &imagesapi.Image{Name: name, Target: target}}); err != nil {
			return copied, fmt.Errorf("%s: %w", image, err)
		}
		copied = append(copied, name)
	}
	return copied, nil
}

// splitPinned takes NAME:TAG@DIGEST apart; without a tag the whole of it is the name.
func splitPinned(image string) (name string, d digest.Digest, ok bool) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", "", false
	}
	pinned, ok := named.(reference.Digested)
	if !ok {
		return "", "", false
	}
	name = image
	if tagged, ok := named.(reference.Tagged); ok {
		name = named.Name() + ":" + tagged.Tag()
	}
	return name, pinned.Digest(), true
}

// describe finds out what a blob is that only its digest is known of.
func describe(ctx context.Context, from content.Store, d digest.Digest) (ocispecs.Descriptor, error) {
	info, err := from.Info(ctx, d)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	desc := ocispecs.Descriptor{Digest: d, Size: info.Size}
	if info.Size > mostManifest {
		return desc, fmt.Errorf("the manifest has %d bytes", info.Size)
	}
	text, err := content.ReadBlob(ctx, from, desc)
	if err != nil {
		return desc, err
	}
	var kind struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return desc, fmt.Errorf("reading the manifest: %w", err)
	}
	switch {
	case kind.MediaType != "":
		desc.MediaType = kind.MediaType
	case len(kind.Manifests) > 0:
		desc.MediaType = ocispecs.MediaTypeImageIndex
	default:
		desc.MediaType = ocispecs.MediaTypeImageManifest
	}
	return desc, nil
}

// copyImage copies an image from one store to another, of an index what is there in whole. It is
// an error of the kind "not found" when nothing is.
func copyImage(ctx context.Context, from, to content.Store, desc ocispecs.Descriptor) error {
	children, err := images.Children(ctx, from, desc)
	if err != nil {
		return err
	}
	copied := 0
	for _, child := range children {
		switch {
		case images.IsManifestType(child.MediaType), images.IsIndexType(child.MediaType):
			err = copyImage(ctx, from, to, child)
		default:
			err = copyBlob(ctx, from, to, child)
		}
		if images.IsIndexType(desc.MediaType) && cerrdefs.IsNotFound(err) {
			continue // for another platform
		}
		if err != nil {
			return err
		}
		copied++
	}
	if copied == 0 && len(children) > 0 {
		return fmt.Errorf("%s: %w", desc.Digest, cerrdefs.ErrNotFound)
	}
	if err := copyBlob(ctx, from, to, desc); err != nil {
		return err
	}
	return keepChildren(ctx, to, desc, children)
}

func copyBlob(ctx context.Context, from, to content.Store, desc ocispecs.Descriptor) error {
	if _, err := to.Info(ctx, desc.Digest); err == nil {
		return nil
	}
	blob, err := from.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }() // it was read
	return content.WriteBlob(ctx, to, "linnet-"+desc.Digest.String(), content.NewReader(blob), desc)
}

// keepChildren has containerd keep what a manifest names for as long as it keeps the manifest.
func keepChildren(ctx context.Context, to content.Store, desc ocispecs.Descriptor, children []ocispecs.Descriptor) error {
	if _, ok := leases.FromContext(ctx); !ok {
		return nil // a directory of the host, without garbage collection
	}
	info := content.Info{Digest: desc.Digest, Labels: map[string]string{}}
	var fields []string
	for i, child := range children {
		if _, err := to.Info(ctx, child.Digest); err != nil {
			continue
		}
		label := "containerd.io/gc.ref.content." + strconv.Itoa(i)
		info.Labels[label] = child.Digest.String()
		fields = append(fields, "labels."+label)
	}
	if len(fields) == 0 {
		return nil
	}
	_, err := to.Update(ctx, info, fields...)
	return err
}
