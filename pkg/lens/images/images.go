// Package images reads the facts of an image from where it is: an archive, an image layout, or an engine's store. It must not judge them.
package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lens"
)

// Source is where an image's parts are, by names that its Root, or its parts, have of them. What is not there is fs.ErrNotExist.
type Source interface {
	// Text is an index, a manifest or a configuration.
	Text(ctx context.Context, p Part) ([]byte, error)
	// Layer is the index of a layer.
	Layer(ctx context.Context, p Part) (*lens.Layer, error)
}

// Part is a blob: Digest is "sha256:HEX", and Size in bytes; Name is a path in an archive that has its own names for its parts.
type Part struct {
	MediaType, Digest, Name string
	Size                    int64
	Platform                *ocispecs.Platform
	Annotations             map[string]string
}

func part(d ocispecs.Descriptor) Part {
	return Part{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size, Platform: d.Platform, Annotations: d.Annotations}
}

// most is how large an index, a manifest, a configuration or an attestation may be, in bytes.
const most = 32 << 20

// workers is how many layers are read at once. Each has buffers of 2 MiB, and of zstd's up to 64 MiB.
const workers = 2

// manifest is an index, or an image's manifest.
type manifest struct {
	Manifests []ocispecs.Descriptor `json:"manifests"`
	Config    ocispecs.Descriptor   `json:"config"`
	Layers    []ocispecs.Descriptor `json:"layers"`
}

// Platform is which image of an index is wanted, like "linux/arm64"; "" is the first. Unless it must be that one, the only one will do.
type Platform struct {
	Name string
	Must bool
}

// fits reports whether an image for a platform, "" where that is not known, is the one.
func (w Platform) fits(have string) bool {
	return w.Name == "" || have == "" || have == w.Name || strings.HasPrefix(have, w.Name+"/")
}

// Read reads the image that a manifest, or an index, is of.
func Read(ctx context.Context, s Source, name string, root Part, platform Platform) (*lens.Image, error) {
	m, chosen, attestation, err := resolve(ctx, s, root, platform, 0)
	if err != nil {
		return nil, err
	}
	parts := make([]Part, len(m.Layers))
	for n, l := range m.Layers {
		parts[n] = part(l)
	}
	i := &lens.Image{Name: name, Attestable: true}
	if attestation != nil {
		if err := attest(ctx, s, i, *attestation); err != nil {
			return nil, fmt.Errorf("reading the attestation of %s: %w", chosen.Digest, err)
		}
	}
	return i, fill(ctx, s, i, part(m.Config), parts)
}

// resolve goes from an index to the manifest of one image, and to its attestation where there is one.
func resolve(ctx context.Context, s Source, at Part, platform Platform, depth int) (m manifest, chosen Part, attestation *Part, err error) {
	if err := decode(ctx, s, at, &m); err != nil || m.Config.Digest != "" {
		return m, at, nil, err
	}
	if depth > 3 {
		return m, at, nil, fmt.Errorf("%s is an index in an index in an index", at.Digest)
	}
	var all, fit []ocispecs.Descriptor
	var have []string
	for _, d := range m.Manifests {
		if d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" {
			continue
		}
		p := platformOf(d.Platform)
		have = append(have, p)
		if all = append(all, d); platform.fits(p) {
			fit = append(fit, d)
		}
	}
	if len(all) == 1 && !platform.Must {
		fit = all
	}
	err = fs.ErrNotExist
	for _, d := range fit {
		var sub manifest
		sub, chosen, attestation, err = resolve(ctx, s, part(d), platform, depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			continue // for a platform of which nothing was fetched
		}
		if err == nil && attestation == nil {
			attestation = attestationOf(m.Manifests, chosen.Digest)
		}
		return sub, chosen, attestation, err
	}
	if len(fit) == 0 && len(have) > 0 {
		return m, at, nil, hint.New(fmt.Sprintf("there is no image for %s in it", platform.Name), "--platform, one of "+strings.Join(have, ", "))
	}
	return m, at, nil, fmt.Errorf("the index %s: no image of it is here: %w", at.Digest, err)
}

func attestationOf(all []ocispecs.Descriptor, digest string) *Part {
	for _, d := range all {
		if d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" && d.Annotations["vnd.docker.reference.digest"] == digest {
			p := part(d)
			return &p
		}
	}
	return nil
}

func platformOf(p *ocispecs.Platform) string {
	if p == nil {
		return ""
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// decode reads a part that is JSON.
func decode(ctx context.Context, s Source, p Part, into any) error {
	text, err := s.Text(ctx, p)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is no %s: %w", p.shown(), strings.TrimPrefix(p.MediaType, "application/"), err)
	}
	return nil
}

func (p Part) shown() string {
	if p.Name != "" {
		return p.Name
	}
	return p.Digest
}

// config is what of an image's configuration is looked at, by the OCI image specification and docker's additions.
type config struct {
	Created *time.Time `json:"created"`
	OS      string     `json:"os"`
	Arch    string     `json:"architecture"`
	Config  struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		WorkingDir   string
		Labels       map[string]string
		ExposedPorts map[string]struct{}
		Healthcheck  *struct{ Test []string }
	} `json:"config"`
	History []struct {
		By    string `json:"created_by"`
		Empty bool   `json:"empty_layer"`
	} `json:"history"`
}

// fill reads an image's configuration and its layers, several at once.
func fill(ctx context.Context, s Source, i *lens.Image, of Part, layers []Part) error {
	var c config
	if err := decode(ctx, s, of, &c); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	configure(i, &c)
	i.Layers = make([]*lens.Layer, len(layers))
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(workers)
	for n, p := range layers {
		all.Go(func() error {
			l, err := s.Layer(ctx, p)
			if err != nil {
				return fmt.Errorf("reading layer %d, %s: %w", n+1, p.shown(), err)
			}
			copied := *l // an archive may have one layer twice
			copied.Digest, copied.Packed = p.Digest, p.Size
			i.Layers[n] = &copied
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	i.Trace()
	return nil
}

func configure(i *lens.Image, c *config) {
	if c.Created != nil {
		i.Created = *c.Created
	}
	i.OS, i.Arch = c.OS, c.Arch
	i.User, i.Env, i.Entrypoint, i.Cmd = c.Config.User, c.Config.Env, c.Config.Entrypoint, c.Config.Cmd
	i.WorkingDir, i.Labels = c.Config.WorkingDir, c.Config.Labels
	i.Health = c.Config.Healthcheck != nil && len(c.Config.Healthcheck.Test) > 0
	i.Ports = sortedKeys(c.Config.ExposedPorts)
	for _, h := range c.History {
		i.History = append(i.History, lens.History{By: h.By, Empty: h.Empty})
	}
}
