package build

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/session"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/grpchijack"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// openSession opens what BuildKit asks this host on: for directories, results, image layouts, and what
// attach has added. BuildKit's client would open one, too, in which files are sent and received by
// its own means. What cannot be opened calls the build off. end closes it.
func (j *job) openSession(ctx context.Context, c *client.Client) (s *session.Session, end func(), err error) {
	if s, err = session.NewSession(ctx, j.opt.SharedKey); err != nil {
		return nil, nil, fmt.Errorf("opening a session: %w", err)
	}
	s.Allow(fileSender{j.mounts, j.lose})
	s.Allow(fileReceiver{j.opt.Exports, j.dropped})
	for _, a := range j.opt.Session {
		s.Allow(a)
	}
	stores, err := j.stores()
	if err != nil {
		return nil, nil, err
	}
	if len(stores) > 0 {
		s.Allow(sessioncontent.NewAttachable(stores))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(ctx, grpchijack.Dialer(c.ControlClient())); err != nil {
			j.lose(fmt.Errorf("opening a session: %w", err))
		}
	}()
	return s, func() {
		_ = s.Close() // the build has ended
		<-ended
	}, nil
}

// stores are the image layouts of this host that BuildKit reads and writes, by the names that it has for them.
func (j *job) stores() (map[string]content.Store, error) {
	stores := map[string]content.Store{}
	for id, store := range j.opt.OCIStores {
		stores["oci:"+id] = store
	}
	for _, c := range j.opt.CacheImports {
		dir := c.Attrs["src"]
		if store, err := local.NewStore(dir); c.Type == "local" && err == nil { // else there is no cache, as for BuildKit's client
			stores["local:"+dir] = store
		}
	}
	dirs := map[string]string{}
	for _, c := range j.opt.CacheExports {
		if dir := c.Attrs["dest"]; c.Type == "local" && dir != "" {
			dirs["local:"+dir] = dir
		}
	}
	for _, e := range j.layouts() {
		if dirs["export"] != "" {
			return nil, errors.New("--output: a build writes one image layout, not several") // BuildKit has one name for it
		}
		dirs["export"] = e.OutputDir
	}
	for id, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("creating %s: %w", dir, hint.Cause(err))
		}
		store, err := local.NewStore(dir)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", dir, err)
		}
		stores[id] = store
	}
	return stores, nil
}

// layouts are the results that are image layouts in directories.
func (j *job) layouts() (all []client.ExportEntry) {
	for _, e := range j.opt.Exports {
		if e.OutputDir != "" && e.Type != client.ExporterLocal {
			all = append(all, e)
		}
	}
	return all
}

// indexLayouts names a result in the image layouts that it was written into.
func (j *job) indexLayouts(response map[string]string) error {
	if response[descriptor] == "" || len(j.layouts()) == 0 {
		return nil
	}
	image, err := resultOf(response)
	if err != nil {
		return fmt.Errorf("reading what was built: %w", err)
	}
	names := []ociindex.NameOrTag{ociindex.Tag("latest")}
	if given := response["image.name"]; given != "" {
		names = nil
		for name := range strings.SplitSeq(given, ",") {
			names = append(names, ociindex.Name(name))
		}
	}
	for _, e := range j.layouts() {
		if err := ociindex.NewStoreIndex(e.OutputDir).Put(image, names...); err != nil {
			return fmt.Errorf("writing the index of %s: %w", e.OutputDir, err)
		}
	}
	return nil
}

// descriptor is the exporters' word for what they have made.
const descriptor = "containerimage.descriptor"

func resultOf(response map[string]string) (image ocispecs.Descriptor, err error) {
	text, err := base64.StdEncoding.DecodeString(response[descriptor])
	if err != nil {
		return image, err
	}
	return image, json.Unmarshal(text, &image)
}
