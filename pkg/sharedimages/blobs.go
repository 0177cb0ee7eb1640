package sharedimages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errPartial says that of no platform all blobs are there: an image that is pulled lazily, or whose blobs were removed one by one.
var errPartial = errors.New("no platform of the image is there in whole")

// leaseLimit is when a lease ends whose holder was killed.
const leaseLimit = time.Hour

// blob is a blob that is there, with those of its children that are there.
type blob struct {
	desc     ocispec.Descriptor
	labels   map[string]string
	children []ocispec.Descriptor
}

// tree is what is there of an image, each blob behind its children.
type tree struct {
	store content.Store
	blobs []blob
	// visited says of each descriptor whether it is there, with all that it needs.
	visited map[digest.Digest]bool
	there   map[digest.Digest]bool
}

// readTree finds out what of an image is there in ctx's namespace. It is errPartial when nothing of it can be run.
func readTree(ctx context.Context, store content.Store, target ocispec.Descriptor) ([]blob, error) {
	t := tree{store: store, visited: map[digest.Digest]bool{}, there: map[digest.Digest]bool{}}
	whole, err := t.visit(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("reading its blobs: %w", err)
	}
	if !whole {
		return t.blobs, errPartial
	}
	return t.blobs, nil
}

// visit reports whether a blob is there with all that it needs: all children, and of an index one. Children that are missing are
// left out; those that are there are not, even where an image of another platform is only half there.
func (t *tree) visit(ctx context.Context, desc ocispec.Descriptor) (whole bool, err error) {
	if whole, visited := t.visited[desc.Digest]; visited {
		return whole, nil
	}
	t.visited[desc.Digest] = false
	info, err := t.store.Info(ctx, desc.Digest)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	desc.Size = info.Size
	children, err := images.Children(ctx, t.store, desc)
	if errdefs.IsNotFound(err) {
		return false, nil // removed this moment
	}
	if err != nil {
		return false, err
	}
	b := blob{desc: desc, labels: info.Labels}
	some, all := len(children) == 0, true
	for _, child := range children {
		ok, err := t.visit(ctx, child)
		if err != nil {
			return false, err
		}
		if t.there[child.Digest] {
			b.children = append(b.children, child)
		}
		some = some || ok && !isAttestation(child)
		all = all && ok
	}
	t.blobs = append(t.blobs, b)
	t.there[desc.Digest] = true
	t.visited[desc.Digest] = all || some && images.IsIndexType(desc.MediaType)
	return t.visited[desc.Digest], nil
}

// isAttestation reports whether a manifest says something of another one in its index, as BuildKit marks it.
func isAttestation(desc ocispec.Descriptor) bool {
	return desc.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

// lease holds what is made in a namespace, until it is ended. ctx has the namespace.
func (k *Keeper) lease(ctx context.Context) (leased context.Context, end func(), err error) {
	manager := k.Client.LeasesService()
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseLimit))
	if err != nil {
		return nil, nil, fmt.Errorf("taking a lease: %w", err)
	}
	return leases.WithLease(ctx, l.ID), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
		defer cancel()
		if err := manager.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			k.Log.WithError(err).WithField("lease", l.ID).Debug("ending a lease; it ends by itself")
		}
	}, nil
}

// share makes blobs known in the namespace of to, which also has a lease. It copies none.
func (k *Keeper) share(to context.Context, blobs []blob) error {
	store := k.Client.ContentStore()
	for _, b := range blobs {
		err := introduce(to, store, b)
		if errdefs.IsAlreadyExists(err) {
			err = addLabels(to, store, b)
		}
		if err != nil {
			return fmt.Errorf("sharing blob %s: %w", b.desc.Digest, err)
		}
	}
	return nil
}

// introduce makes a blob known. containerd answers one who wants to write a blob that another namespace has with a
// writer that is at its end already (the content policy "shared", core/metadata/content.go). An error of the kind "already
// exists" says that it is known; the lease has it then.
func introduce(ctx context.Context, store content.Store, b blob) error {
	w, err := content.OpenWriter(ctx, store, content.WithRef("linnet-share-"+b.desc.Digest.String()), content.WithDescriptor(b.desc))
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // after a commit there is nothing to close
	status, err := w.Status()
	if err != nil {
		return err
	}
	if status.Offset != b.desc.Size {
		if err := store.Abort(ctx, status.Ref); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		return fmt.Errorf("containerd does not have it any more, or does not share it: %w", errdefs.ErrUnavailable)
	}
	return w.Commit(ctx, b.desc.Size, b.desc.Digest, content.WithLabels(blobLabels(nil, b.labels, b.children)))
}

// addLabels gives a blob that was known the labels that it lacks.
func addLabels(ctx context.Context, store content.Store, b blob) error {
	info, err := store.Info(ctx, b.desc.Digest)
	if err != nil {
		return err
	}
	add := blobLabels(info.Labels, b.labels, b.children)
	if len(add) == 0 {
		return nil
	}
	var paths []string
	for _, key := range slices.Sorted(maps.Keys(add)) {
		paths = append(paths, "labels."+key)
	}
	_, err = store.Update(ctx, content.Info{Digest: b.desc.Digest, Labels: add}, paths...)
	return err
}

// completeBoth gives each side the blobs of an image that only the other one has: those of further platforms, or of attestations.
func (k *Keeper) completeBoth(ctx context.Context, target ocispec.Descriptor) error {
	var there [2][]blob
	for side := range there {
		var err error
		there[side], err = readTree(k.in(ctx, side), k.Client.ContentStore(), target)
		if err != nil && !errors.Is(err, errPartial) {
			return err
		}
	}
	for side := range there {
		lacking := lacks(there[side], there[1-side])
		if len(lacking) == 0 {
			continue
		}
		to, end, err := k.lease(k.in(ctx, side))
		if err != nil {
			return err
		}
		err = k.share(to, lacking)
		end()
		if err != nil {
			return err
		}
	}
	return nil
}

// lacks are the blobs of other that one side does not have, or whose children it does not refer to: a reference is added to
// the parent of each that is new.
func lacks(have, other []blob) (lacking []blob) {
	children := map[digest.Digest]int{}
	for _, b := range have {
		children[b.desc.Digest] = len(b.children)
	}
	for _, b := range other {
		if n, known := children[b.desc.Digest]; !known || n < len(b.children) {
			lacking = append(lacking, b)
		}
	}
	return lacking
}

// in is ctx in the namespace of a side.
func (k *Keeper) in(ctx context.Context, side int) context.Context {
	return namespaces.WithNamespace(ctx, k.Sides[side])
}
