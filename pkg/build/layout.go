package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/moby/buildkit/identity"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// addLayout offers an OCI image layout of the host as a context and returns how BuildKit names
// it.
func (j *job) addLayout(h options.Host, c options.Context) (string, error) {
	path := strings.TrimPrefix(c.Value, "oci-layout://")
	path, digest, pinned := strings.Cut(path, "@")
	tag := ""
	if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
		path, tag = path[:i], path[i+1:]
	}
	dir := h.Abs(path)
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return "", fmt.Errorf("reading %s: %w", filepath.Join(path, "index.json"), hint.Cause(err))
	}
	if !pinned {
		found, err := layoutDigest(dir, tag)
		if err != nil {
			return "", err
		}
		digest = found
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	id := identity.NewID()
	if j.opt.OCIStores == nil {
		j.opt.OCIStores = map[string]content.Store{}
	}
	j.opt.OCIStores[id] = store
	return "oci-layout://" + id + "@" + digest, nil
}

// layoutDigest is the image of a tag; without a tag it is the one called latest, or the only
// one.
func layoutDigest(dir, tag string) (string, error) {
	index := ociindex.NewStoreIndex(dir)
	if tag != "" {
		d, err := index.Get(tag)
		if err != nil {
			return "", err
		}
		if d == nil {
			return "", fmt.Errorf("nothing is tagged %q there", tag)
		}
		return d.Digest.String(), nil
	}
	if d, err := index.Get("latest"); err == nil && d != nil {
		return d.Digest.String(), nil
	}
	d, err := index.GetSingle()
	if err != nil {
		return "", err
	}
	if d == nil {
		return "", errors.New("it holds several images")
	}
	return d.Digest.String(), nil
}
