package sharedimages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/events/exchange"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"
	"go.etcd.io/bbolt"
)

const (
	first  = "default"
	second = "moby"
)

// containerd's content store warns of each directory whose file system has no fs-verity.
func TestMain(m *testing.M) {
	logrus.SetLevel(logrus.ErrorLevel)
	os.Exit(m.Run())
}

// engine is containerd's metadata and content in a temporary directory: what the daemon has, without its connection.
type engine struct {
	t       testing.TB
	db      *metadata.DB
	local   content.Store // all namespaces' blobs
	content content.Store
	*exchange.Exchange
	keeper *Keeper
	log    *test.Hook

	mu     sync.Mutex
	used   map[string]map[string]bool
	broken chan error // ends the stream of events that was asked for last
}

func (e *engine) ImageService() images.Store    { return metadata.NewImageStore(e.db) }
func (e *engine) ContentStore() content.Store   { return e.content }
func (e *engine) LeasesService() leases.Manager { return metadata.NewLeaseManager(e.db) }

// Subscribe has a stream that a test can break.
func (e *engine) Subscribe(ctx context.Context, filters ...string) (<-chan *events.Envelope, <-chan error) {
	happened, _ := e.Exchange.Subscribe(ctx, filters...)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken = make(chan error, 1)
	return happened, e.broken
}

func newEngine(t testing.TB, opts ...metadata.DBOpt) *engine {
	t.Helper()
	dir := t.TempDir()
	store, err := local.NewStore(filepath.Join(dir, "content"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := bbolt.Open(filepath.Join(dir, "meta.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, local: store, Exchange: exchange.NewExchange(), used: map[string]map[string]bool{}}
	e.db = metadata.NewDB(file, store, nil, append(opts, metadata.WithEventsPublisher(e.Exchange))...)
	if err := e.db.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.db.Close() })
	e.content = e.db.ContentStore()
	var log *logrus.Logger
	log, e.log = test.NewNullLogger()
	e.keeper = &Keeper{
		Client: e, Sides: [2]string{first, second}, Memory: filepath.Join(dir, "shared.json"), Log: log,
		InUse: e.inUse,
		Aside: func(side string, d digest.Digest) string {
			if side == second {
				return "moby-dangling@" + d.String()
			}
			return ""
		},
		times: times{
			remove: time.Millisecond, putBack: time.Millisecond, retry: time.Millisecond, retryLimit: 10 * time.Millisecond,
			relist: time.Hour, interval: time.Hour, save: time.Hour,
		},
	}
	return e
}

func (e *engine) inUse(_ context.Context, side string) (map[string]bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.used[side], nil
}

// use says which images, by name or digest, containers of a side use.
func (e *engine) use(side string, all ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.used[side] = map[string]bool{}
	for _, name := range all {
		e.used[side][name] = true
	}
}

func (e *engine) in(side string) context.Context {
	return namespaces.WithNamespace(e.t.Context(), side)
}

// write puts a blob into a namespace, with references to children as containerd's pull makes them.
func (e *engine) write(side, mediaType string, text []byte, children ...ocispec.Descriptor) ocispec.Descriptor {
	e.t.Helper()
	labels := map[string]string{"containerd.io/distribution.source.registry.example": "team/app"}
	for i, c := range children {
		labels[fmt.Sprintf("containerd.io/gc.ref.content.%d", i)] = c.Digest.String()
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	err := content.WriteBlob(e.in(side), e.content, desc.Digest.String(), bytes.NewReader(text), desc, content.WithLabels(labels))
	if err != nil {
		e.t.Fatal(err)
	}
	return desc
}

func (e *engine) writeJSON(side, mediaType string, v any, children ...ocispec.Descriptor) ocispec.Descriptor {
	e.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		e.t.Fatal(err)
	}
	return e.write(side, mediaType, text, children...)
}

// manifest writes an image of one platform, with two layers.
func (e *engine) manifest(side, seed string) ocispec.Descriptor {
	e.t.Helper()
	config := e.writeJSON(side, ocispec.MediaTypeImageConfig, ocispec.Image{Author: seed})
	layers := []ocispec.Descriptor{
		e.write(side, ocispec.MediaTypeImageLayerGzip, []byte("common layer")),
		e.write(side, ocispec.MediaTypeImageLayerGzip, []byte("layer "+seed)),
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers}
	return e.writeJSON(side, m.MediaType, m, append(layers, config)...)
}

// create has a client of a side pull an image with one platform.
func (e *engine) create(side, name, seed string) ocispec.Descriptor {
	e.t.Helper()
	target := e.manifest(side, seed)
	e.tag(side, name, target)
	return target
}

// tag has a client give a name to an image.
func (e *engine) tag(side, name string, target ocispec.Descriptor) {
	e.t.Helper()
	img := images.Image{Name: name, Target: target, Labels: map[string]string{"team": "web", "containerd.io/gc.ref.content.x": "y"}}
	_, err := e.ImageService().Create(e.in(side), img)
	if errdefs.IsAlreadyExists(err) {
		_, err = e.ImageService().Update(e.in(side), img)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// remove has a client remove a name.
func (e *engine) remove(side, name string) {
	e.t.Helper()
	if err := e.ImageService().Delete(e.in(side), name); err != nil {
		e.t.Fatal(err)
	}
}

// names are a side's records, each as NAME=first digits of its digest.
func (e *engine) names(side string) (all []string) {
	e.t.Helper()
	list, err := e.ImageService().List(e.in(side))
	if err != nil {
		e.t.Fatal(err)
	}
	for _, img := range list {
		all = append(all, img.Name+"="+short(img.Target))
	}
	slices.Sort(all)
	return all
}

func short(d ocispec.Descriptor) string { return d.Digest.Encoded()[:8] }

// reconcile does all that there is to do, as a keeper that has just been started.
func (e *engine) reconcile() {
	e.t.Helper()
	r := e.keeper.reconciler()
	if err := r.list(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	e.drain(r)
}

// drain does what is due, and what becomes due thereby.
func (e *engine) drain(r *reconciler) {
	e.t.Helper()
	for range 10000 {
		wait, some := r.due.wait()
		if !some {
			if err := r.memory.save(r.Sides); err != nil {
				e.t.Fatal(err)
			}
			return
		}
		if wait > 0 {
			<-time.After(wait)
		}
		if name, ok := r.due.next(); ok {
			r.handle(e.t.Context(), name)
		}
	}
	e.t.Fatalf("there is no end to what is to be done: %v", r.due)
}

// collect runs the garbage collector, over leases, too.
func (e *engine) collect() {
	e.t.Helper()
	for _, side := range []string{first, second} {
		left, err := e.LeasesService().List(e.in(side))
		if err != nil || len(left) > 0 {
			e.t.Fatalf("leases are left in %s: %v, %v", side, left, err)
		}
	}
	if _, err := e.db.GarbageCollect(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

// blobs are the digests that a side has.
func (e *engine) blobs(side string) (all []string) {
	e.t.Helper()
	err := e.content.Walk(e.in(side), func(i content.Info) error {
		all = append(all, i.Digest.Encoded()[:8])
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// same fails the test unless both sides have these names, and blobs that outlive the garbage collector.
func (e *engine) same(want ...string) {
	e.t.Helper()
	slices.Sort(want)
	for _, side := range []string{first, second} {
		if got := e.names(side); !slices.Equal(got, want) {
			e.t.Fatalf("%s has\n%s\nwant\n%s", side, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	e.collect()
	one, other := e.blobs(first), e.blobs(second)
	if !slices.Equal(one, other) {
		e.t.Fatalf("the blobs differ: %v, %v", one, other)
	}
	for _, side := range []string{first, second} {
		list, _ := e.ImageService().List(e.in(side))
		for _, img := range list {
			if _, err := readTree(e.in(side), e.content, img.Target); err != nil {
				e.t.Fatalf("%s in %s: %v", img.Name, side, err)
			}
		}
	}
}

// texts are the log's messages.
func (e *engine) texts() (all []string) {
	for _, entry := range e.log.AllEntries() {
		all = append(all, entry.Message)
	}
	return all
}
