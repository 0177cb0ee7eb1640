package build

import (
	"context"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
)

// nameOptions tells the session of the registries of the images that a build's options name.
func (j *job) nameOptions() {
	for key, value := range j.attrs {
		switch {
		case key == "source":
			j.nameImages(value)
		case key == "attest:sbom":
			j.nameImages(scanner(value))
		case strings.HasPrefix(value, imageScheme):
			j.nameImages(strings.TrimPrefix(value, imageScheme))
		}
	}
	for _, e := range j.opt.Exports {
		j.nameImages(strings.Split(e.Attrs["name"], ",")...)
	}
	for _, c := range append(j.opt.CacheImports[:len(j.opt.CacheImports):len(j.opt.CacheImports)], j.opt.CacheExports...) {
		j.nameImages(c.Attrs["ref"])
	}
	for _, rule := range j.opt.SourcePolicy.GetRules() {
		if image, ok := strings.CutPrefix(rule.GetUpdates().GetIdentifier(), imageScheme); ok {
			j.nameImages(image)
		}
	}
}

// scanner is the image that makes a bill of materials; BuildKit has one of its own.
func scanner(attest string) string {
	for _, part := range strings.Split(attest, ",") {
		if image, ok := strings.CutPrefix(part, "generator="); ok {
			return image
		}
	}
	return "docker/buildkit-syft-scanner"
}

// nameImages tells the session of these images' registries; what is no image's name has none.
func (j *job) nameImages(images ...string) {
	for _, image := range images {
		if named, err := reference.ParseNormalizedNamed(image); err == nil && j.named != nil {
			j.named(reference.Domain(named))
		}
	}
}

// nameUnseen tells the session that a frontend runs at the engine: which images it comes to is not
// seen from here.
func (j *job) nameUnseen() {
	if j.unnamed != nil {
		j.unnamed()
	}
}

// nameSources tells the session of the images that a graph begins with.
func (j *job) nameSources(def *pb.Definition) error {
	images, err := baseImages(def)
	if err != nil {
		return err
	}
	j.nameImages(images...)
	return nil
}

// ResolveSourceMetadata implements gateway.Client.
func (n *localGateway) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	if image, ok := strings.CutPrefix(op.GetIdentifier(), imageScheme); ok {
		n.job.nameImages(image)
	}
	return n.Client.ResolveSourceMetadata(ctx, op, opt)
}
