// Package store is an engine's image store, containerd's, as far as builds need it: what their exporters leave packed is
// unpacked there, and images come and go as blobs. It must not know how they were built.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/content"
	contentproxy "github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/diff"
	diffproxy "github.com/containerd/containerd/v2/core/diff/proxy"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	leaseproxy "github.com/containerd/containerd/v2/core/leases/proxy"
	"github.com/containerd/containerd/v2/core/snapshots"
	snapshotproxy "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/opencontainers/image-spec/identity"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// namespace is where BuildKit's worker and nerdctl keep images.
const namespace = "default"

// unpackTime is how long what is unpacked is kept from garbage collection when this process dies before it
// has finished.
const unpackTime = 30 * time.Minute

// Store is containerd's image store, as far as builds need it.
type Store struct {
	conn        *grpc.ClientConn
	snapshotter string
	blobs       content.Store
	snapshots   snapshots.Snapshotter
	applier     diff.Applier
	leases      leases.Manager
}

// Open connects to the containerd of a guest. An empty name is that of the usual snapshotter.
func Open(ctx context.Context, g guest.Guest, name string) (*Store, error) {
	dial, drop, err := Dialer(ctx, g, guest.Containerd)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///containerd", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		drop()
		return nil, err
	}
	if name == "" {
		name = "overlayfs"
	}
	return &Store{
		conn: conn, snapshotter: name,
		blobs:     contentproxy.NewContentStore(contentapi.NewContentClient(conn)),
		snapshots: snapshotproxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), name),
		applier:   diffproxy.NewDiffApplier(diffapi.NewDiffClient(conn)).(diff.Applier), // returned as any, since it is a comparer too
		leases:    leaseproxy.NewLeaseManager(leasesapi.NewLeasesClient(conn)),
	}, nil
}

// Dialer connects to a service of a guest's, so that an error of that is plain, and is what gRPC dials with: the first
// connection is this one. drop closes it when it is not used.
func Dialer(ctx context.Context, g guest.Guest, s guest.Service) (dial func(context.Context, string) (net.Conn, error), drop func(), err error) {
	conn, err := g.Dial(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	first := make(chan net.Conn, 1)
	first <- conn
	return func(ctx context.Context, _ string) (net.Conn, error) {
		select {
		case c := <-first:
			return c, nil
		default:
			return g.Dial(ctx, s)
		}
	}, func() { conn.Close() }, nil
}

// Close ends the connection.
func (st *Store) Close() { _ = st.conn.Close() } // what was written was answered

// lease keeps what is written in its context from garbage collection until it ends.
func (st *Store) lease(ctx context.Context) (_ context.Context, end func(), err error) {
	lease, err := st.leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(unpackTime))
	if err != nil {
		return nil, nil, err
	}
	return leases.WithLease(ctx, lease.ID), func() { _ = st.leases.Delete(context.WithoutCancel(ctx), lease) }, nil // it expires as well
}

// Unpack makes snapshots of all of an image's layers, for each of its platforms.
func (st *Store) Unpack(ctx context.Context, image ocispecs.Descriptor) error {
	ctx, end, err := st.lease(namespaces.WithNamespace(ctx, namespace))
	if err != nil {
		return err
	}
	defer end()
	manifests := []ocispecs.Descriptor{image}
	if images.IsIndexType(image.MediaType) {
		var index ocispecs.Index
		if err := st.read(ctx, image, &index); err != nil {
			return err
		}
		// An attestation has no platform that could run it.
		manifests = slices.DeleteFunc(index.Manifests, func(m ocispecs.Descriptor) bool {
			return m.Platform != nil && m.Platform.OS == "unknown"
		})
	}
	for _, m := range manifests {
		if err := st.unpackManifest(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (st *Store) unpackManifest(ctx context.Context, d ocispecs.Descriptor) error {
	var m ocispecs.Manifest
	if err := st.read(ctx, d, &m); err != nil {
		return err
	}
	var config ocispecs.Image
	if err := st.read(ctx, m.Config, &config); err != nil {
		return err
	}
	ids := config.RootFS.DiffIDs
	if len(ids) != len(m.Layers) {
		return fmt.Errorf("%s has %d layers and knows %d", d.Digest, len(m.Layers), len(ids))
	}
	if len(ids) == 0 {
		return nil
	}
	layers := make([]rootfs.Layer, len(ids))
	for i := range ids {
		layers[i] = rootfs.Layer{Blob: m.Layers[i], Diff: ocispecs.Descriptor{MediaType: ocispecs.MediaTypeImageLayer, Digest: ids[i]}}
	}
	if _, err := rootfs.ApplyLayers(ctx, layers, st.snapshots, st.applier); err != nil {
		return err
	}
	// With this label the snapshots live as long as the image does.
	label := "containerd.io/gc.ref.snapshot." + st.snapshotter
	_, err := st.blobs.Update(ctx, content.Info{
		Digest: m.Config.Digest, Labels: map[string]string{label: identity.ChainID(ids).String()},
	}, "labels."+label)
	return err
}

// mostManifest bounds what is read as a manifest, in bytes.
const mostManifest = 8 << 20

func (st *Store) read(ctx context.Context, d ocispecs.Descriptor, into any) error {
	if d.Size > mostManifest {
		return fmt.Errorf("%s %s has %d bytes", strings.TrimPrefix(d.MediaType, "application/"), d.Digest, d.Size)
	}
	text, err := content.ReadBlob(ctx, st.blobs, d)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
