package build

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
)

// send has BuildKit solve a job. Where the job has a frontend of its own, that runs here and asks
// BuildKit's for what it needs.
func (j *job) send(ctx context.Context, c *client.Client, status chan *client.SolveStatus) (*client.SolveResponse, error) {
	if j.frontend == nil {
		return c.Solve(ctx, nil, j.opt, status)
	}
	return c.Build(ctx, j.opt, "", j.frontend, status)
}

// request is what BuildKit's own frontend would be sent. It then makes of the Dockerfile what is to
// be done, and does nothing of it yet.
func (j *job) request(c gateway.Client) gateway.SolveRequest {
	return gateway.SolveRequest{Frontend: j.opt.Frontend, FrontendOpt: maps.Clone(c.BuildOpts().Opts)}
}

// definitions are the graphs of operations that a frontend has come to, one for each platform.
func definitions(ctx context.Context, r *gateway.Result) ([]*pb.Definition, error) {
	refs := slices.Collect(maps.Values(r.Refs))
	if r.Ref != nil {
		refs = append(refs, r.Ref)
	}
	var all []*pb.Definition
	for _, ref := range refs {
		if ref == nil {
			continue // an empty file system
		}
		state, err := ref.ToState()
		if err != nil {
			return nil, fmt.Errorf("reading what is to be built: %w", err)
		}
		def, err := state.Marshal(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading what is to be built: %w", err)
		}
		all = append(all, def.ToPB())
	}
	return all, nil
}

const imageScheme = "docker-image://"

// baseImages are the images that a graph begins with, as NAME:TAG@DIGEST.
func baseImages(def *pb.Definition) (images []string, err error) {
	for _, text := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return nil, fmt.Errorf("reading what is to be built: %w", err)
		}
		if name, ok := strings.CutPrefix(op.GetSource().GetIdentifier(), imageScheme); ok && !slices.Contains(images, name) {
			images = append(images, name)
		}
	}
	return images, nil
}
