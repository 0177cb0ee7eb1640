package diskusage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	contentapi "github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/content"
	contentproxy "github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	snapshotproxy "github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
)

// spaces are containerd's namespaces of the sides. containerd keeps the same blob of both once, and unpacks for each.
var spaces = map[Side]string{Linnet: "default", Docker: "moby"}

// engine is what is asked of containerd.
type engine struct {
	conn        *grpc.ClientConn
	blobs       content.Store
	snapshotter string
	snapshots   snapshots.Snapshotter
}

func newEngine(conn *grpc.ClientConn, snapshotter string) *engine {
	return &engine{
		conn: conn, snapshotter: snapshotter,
		blobs:     contentproxy.NewContentStore(contentapi.NewContentClient(conn)),
		snapshots: snapshotproxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), snapshotter),
	}
}

// images are those of both sides.
func (e *engine) images(ctx context.Context) ([]Image, error) {
	var all []Image
	for _, side := range []Side{Linnet, Docker} {
		ctx := namespaces.WithNamespace(ctx, spaces[side])
		got, err := imagesapi.NewImagesClient(e.conn).List(ctx, &imagesapi.ListImagesRequest{})
		if err != nil {
			return nil, fmt.Errorf("listing images: %w", err)
		}
		for _, i := range got.GetImages() {
			id := i.GetTarget().GetDigest()
			at := slices.IndexFunc(all, func(other Image) bool { return other.ID == id })
			if at < 0 {
				all, at = append(all, Image{ID: id, parts: map[string]int64{}}), len(all)
			}
			if !slices.Contains(all[at].Names, i.GetName()) {
				all[at].Names = append(all[at].Names, i.GetName())
			}
			target := ocispecs.Descriptor{MediaType: i.GetTarget().GetMediaType(), Digest: digest.Digest(id), Size: i.GetTarget().GetSize()}
			if err := e.addParts(ctx, side, target, all[at].parts); err != nil {
				return nil, fmt.Errorf("image %s: %w", i.GetName(), err)
			}
		}
	}
	return all, nil
}

// addParts adds the blobs of an image that are here, and what is unpacked of them on a side.
func (e *engine) addParts(ctx context.Context, side Side, target ocispecs.Descriptor, parts map[string]int64) error {
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, d ocispecs.Descriptor) ([]ocispecs.Descriptor, error) {
		info, err := e.blobs.Info(ctx, d.Digest)
		if errdefs.IsNotFound(err) {
			return nil, images.ErrSkipDesc // another platform's
		}
		if err != nil {
			return nil, err
		}
		parts[d.Digest.String()] = info.Size
		if images.IsConfigType(d.MediaType) {
			return nil, e.addUnpacked(ctx, side, d, parts)
		}
		return images.Children(ctx, e.blobs, d)
	}), target)
}

// addUnpacked adds the snapshots of an image's layers.
func (e *engine) addUnpacked(ctx context.Context, side Side, config ocispecs.Descriptor, parts map[string]int64) error {
	text, err := content.ReadBlob(ctx, e.blobs, config)
	if err != nil {
		return err
	}
	var i ocispecs.Image
	if err := json.Unmarshal(text, &i); err != nil {
		return fmt.Errorf("its configuration %s: %w", config.Digest, err)
	}
	for n := range i.RootFS.DiffIDs {
		chain := identity.ChainID(i.RootFS.DiffIDs[:n+1]).String()
		used, err := e.snapshots.Usage(ctx, chain)
		if errdefs.IsNotFound(err) {
			return nil // nor are those upon it
		}
		if err != nil {
			return err
		}
		parts[string(side)+" "+chain] = used.Size
	}
	return nil
}

// The labels by which nerdctl knows its containers.
const (
	labelSpace  = "nerdctl/namespace" // a build's step has none
	labelName   = "nerdctl/name"
	labelMounts = "nerdctl/mounts"
)

// containers are those of linnet's own commands, with the names of the volumes that they have.
func (e *engine) containers(ctx context.Context) (all []Container, volumes map[string]bool, err error) {
	ctx = namespaces.WithNamespace(ctx, spaces[Linnet])
	got, err := containersapi.NewContainersClient(e.conn).List(ctx, &containersapi.ListContainersRequest{Filters: []string{`labels."` + labelSpace + `"`}})
	if err != nil {
		return nil, nil, fmt.Errorf("listing containers: %w", err)
	}
	running, err := e.running(ctx)
	if err != nil {
		return nil, nil, err
	}
	volumes = map[string]bool{}
	for _, c := range got.GetContainers() {
		used, err := snapshotproxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(e.conn), c.GetSnapshotter()).Usage(ctx, c.GetSnapshotKey())
		if err != nil && !errdefs.IsNotFound(err) { // with --rootfs there is none
			return nil, nil, fmt.Errorf("container %s: %w", c.GetID(), err)
		}
		all = append(all, Container{
			Side: Linnet, ID: c.GetID(), Name: c.GetLabels()[labelName], Image: c.GetImage(), Active: running[c.GetID()], Size: used.Size,
		})
		for _, name := range volumesOf(c.GetLabels()) {
			volumes[name] = true
		}
	}
	return all, volumes, nil
}

// volumesOf are the volumes of a container by its labels: one with all mounts, or one for each.
func volumesOf(labels map[string]string) (names []string) {
	type mount struct{ Type, Name string }
	for key, value := range labels {
		var all []mount
		switch {
		case key == labelMounts:
			_ = json.Unmarshal([]byte(value), &all) // what is no list has none
		case strings.HasPrefix(key, labelMounts+"."):
			all = make([]mount, 1)
			_ = json.Unmarshal([]byte(value), &all[0])
		}
		for _, m := range all {
			if m.Type == "volume" {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// running are the containers that run, or are paused.
func (e *engine) running(ctx context.Context) (map[string]bool, error) {
	got, err := tasksapi.NewTasksClient(e.conn).List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing what runs: %w", err)
	}
	running := map[string]bool{}
	for _, t := range got.GetTasks() {
		running[t.GetID()] = t.GetStatus() != tasktypes.Status_STOPPED
	}
	return running, nil
}
