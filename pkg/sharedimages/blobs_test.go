package sharedimages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestAnImageIsSharedWithoutItsBytes(t *testing.T) {
	for _, sides := range [][2]string{{first, second}, {second, first}} {
		e := newEngine(t)
		target := e.create(sides[0], app, "a")
		// Were a byte to be written, this would not be of the same digest.
		e.content = noWrites{e.content}
		e.reconcile()
		e.same(app + "=" + short(target))
		img, err := e.ImageService().Get(e.in(sides[1]), app)
		if want := map[string]string{"team": "web"}; err != nil || !maps.Equal(img.Labels, want) {
			t.Errorf("labels %v, %v", img.Labels, err)
		}
		info, err := e.content.Info(e.in(sides[1]), target.Digest)
		if err != nil || info.Labels["containerd.io/distribution.source.registry.example"] != "team/app" {
			t.Errorf("%v, %v", info.Labels, err)
		}
	}
}

// noWrites is a store into which no byte is written.
type noWrites struct{ content.Store }

func (s noWrites) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return noBytes{w}, nil
}

type noBytes struct{ content.Writer }

func (noBytes) Write([]byte) (int, error) { return 0, errors.New("a byte is written") }

// index writes an index of platforms; those in missing are in it, and not there.
func (e *engine) index(side string, missing []ocispec.Descriptor, there ...ocispec.Descriptor) ocispec.Descriptor {
	e.t.Helper()
	all := append(slices.Clone(missing), there...)
	i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: all}
	i.SchemaVersion = 2
	return e.writeJSON(side, i.MediaType, i, there...)
}

func TestAnIndexOfWhichOnePlatformIsThere(t *testing.T) {
	e := newEngine(t)
	arm := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("arm"), Size: 3}
	attestation := e.manifest(first, "attestation")
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	index := e.index(first, []ocispec.Descriptor{arm}, e.manifest(first, "amd"), attestation)
	e.tag(first, app, index)
	e.reconcile()
	e.same(app + "=" + short(index))
	if n := len(e.blobs(second)); n != 8 { // the index, two manifests with configs, three layers
		t.Errorf("%d blobs", n)
	}
	img, err := e.ImageService().Get(e.in(second), app)
	if err != nil || img.Target.Digest != index.Digest {
		t.Errorf("%v, %v", img, err)
	}
}

// A client pulls a further platform of an index that both sides have: its record's target stays what it was.
func TestAFurtherPlatformIsSharedToo(t *testing.T) {
	e := newEngine(t)
	scratch := newEngine(t)
	arm := scratch.manifest(first, "arm")
	index := e.index(first, []ocispec.Descriptor{arm}, e.manifest(first, "amd"))
	e.tag(first, app, index)
	e.reconcile()
	e.same(app + "=" + short(index))
	e.manifest(second, "arm")
	// A pull refers to all that it fetches, from what is there already, too.
	labels := content.Info{Digest: index.Digest, Labels: map[string]string{"containerd.io/gc.ref.content.m.0": arm.Digest.String()}}
	if _, err := e.content.Update(e.in(second), labels, "labels.containerd.io/gc.ref.content.m.0"); err != nil {
		t.Fatal(err)
	}
	e.tag(second, app, index)
	e.reconcile()
	e.same(app + "=" + short(index))
	if _, err := e.content.Info(e.in(first), arm.Digest); err != nil {
		t.Error(err)
	}
}

func TestAnImageThatIsHalfThereIsNotShared(t *testing.T) {
	e := newEngine(t)
	target := e.create(first, app, "a")
	layer := digest.FromString("layer a")
	if err := e.content.Delete(e.in(first), layer); err != nil {
		t.Fatal(err)
	}
	attestation := e.manifest(first, "attestation")
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	index := e.index(first, nil, target, attestation)
	e.tag(first, web, index)
	r := e.keeper.reconciler()
	for range 3 {
		if err := r.list(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.drain(r)
	}
	if got := e.names(second); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if got := e.texts(); len(got) != 2 || got[0] != "an image is not shared: no platform of the image is there in whole" {
		t.Errorf("the log has %q", got)
	}
	// When it is whole it is shared.
	e.create(first, app, "a")
	e.tag(first, web, index)
	e.reconcile()
	e.same(app+"="+short(target), web+"="+short(index))
}

// What one side has already, the other's references are added to.
func TestABlobThatWasThereGetsReferences(t *testing.T) {
	e := newEngine(t)
	target := e.create(first, app, "a")
	bare := e.manifest(second, "a")
	info, err := e.content.Info(e.in(second), bare.Digest)
	if err != nil {
		t.Fatal(err)
	}
	info.Labels = nil
	if _, err := e.content.Update(e.in(second), info, "labels"); err != nil {
		t.Fatal(err)
	}
	e.reconcile()
	e.same(app + "=" + short(target))
}

func TestContentThatIsNotSharedIsAnError(t *testing.T) {
	e := newEngine(t, metadata.WithPolicyIsolated)
	e.create(first, app, "a")
	r := e.keeper.reconciler()
	if err := r.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.handle(t.Context(), app)
	entries := e.log.AllEntries()
	if len(entries) != 1 || !strings.HasSuffix(fmt.Sprint(entries[0].Data["error"]), "containerd does not have it any more, or does not share it: unavailable") {
		t.Errorf("the log has %v", entries)
	}
	if got := e.names(second); len(got) != 0 {
		t.Errorf("%v", got)
	}
	e.collect()
	if n := len(e.blobs(second)); n != 0 {
		t.Errorf("%d blobs", n)
	}
	statuses, err := e.content.ListStatuses(e.in(second))
	if err != nil || len(statuses) != 0 {
		t.Errorf("%v, %v", statuses, err)
	}
}

// between is a store that does something after each blob that becomes known.
type between struct {
	content.Store
	do func()
}

func (s between) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return betweenCommits{w, s.do}, nil
}

type betweenCommits struct {
	content.Writer
	do func()
}

func (w betweenCommits) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	defer w.do()
	return w.Writer.Commit(ctx, size, expected, opts...)
}

// garbage runs the garbage collector.
func (e *engine) garbage() {
	if _, err := e.db.GarbageCollect(e.t.Context()); err != nil {
		e.t.Error(err)
	}
}

func TestTheGarbageCollectorRunsWhileAnImageIsShared(t *testing.T) {
	e := newEngine(t)
	target := e.create(first, app, "a")
	index := e.index(first, nil, target)
	e.tag(first, web, index)
	direct := e.content
	e.content = between{direct, e.garbage}
	e.reconcile()
	e.content = direct
	e.same(app+"="+short(target), web+"="+short(index))
}

// A client removes an image of which only the last blobs are known to the other side.
func TestAnImageIsRemovedWhileItIsShared(t *testing.T) {
	e := newEngine(t)
	e.create(first, app, "a")
	direct, n := e.content, 0
	e.content = between{direct, func() {
		if n++; n == 2 {
			e.remove(first, app)
			e.garbage()
		}
	}}
	e.reconcile()
	e.content = direct
	e.reconcile()
	e.same()
}

func BenchmarkShareAThousandImages(b *testing.B) {
	for range b.N {
		b.StopTimer()
		e := newEngine(b)
		for i := range 1000 {
			e.create(first, fmt.Sprintf("registry.example/team/app:v%04d", i), fmt.Sprint(i))
		}
		b.StartTimer()
		e.reconcile()
	}
}

// It is what each look for lost events costs.
func BenchmarkReconcileAThousandSharedImages(b *testing.B) {
	e := newEngine(b)
	for i := range 1000 {
		e.create(first, fmt.Sprintf("registry.example/team/app:v%04d", i), fmt.Sprint(i))
	}
	e.reconcile()
	for b.Loop() {
		e.reconcile()
	}
}
