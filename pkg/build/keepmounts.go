package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// noCache is the frontend's attribute for stages whose steps shall run again.
const noCache = "no-cache"

// keepMounts has steps run again with the cache mounts that they have. By itself BuildKit gives a
// step that is not to be cached a new cache mount as well, and drops the one there is: it looks for
// such steps in what a build sends, before any of them runs.
//
// So the steps are sent twice. First inside a graph that cannot be built, since its last operation
// is none that there is; what comes after them in it has BuildKit look for their cache mounts in
// the wrong place. What it then knows of these steps, it knows for the whole of this build: that
// they are not to be cached. The second time they are sent as any others.
func (j *job) keepMounts(ctx context.Context, n *localGateway, res *gateway.Result) (*gateway.Result, error) {
	if _, ok := j.attrs[noCache]; !ok {
		return res, nil
	}
	known := 0
	err := eachDefinition(ctx, res, func(def *pb.Definition) error {
		first, err := unbuildable(def)
		if err != nil || first == nil {
			return err
		}
		_, err = n.Client.Solve(ctx, gateway.SolveRequest{Definition: first, Evaluate: true})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// By the text: errdefs.VertexError has the operation's digest, but a source policy changes that.
		if err == nil || !strings.Contains(err.Error(), "no support for <nil>") {
			return errOtherBuildKit
		}
		known++
		return nil
	})
	switch {
	case errors.Is(err, errOtherBuildKit), err == nil && known == 0:
		return res, nil
	case err != nil:
		return nil, err
	}
	return j.solveFrontend(ctx, n.without(noCache))
}

// errOtherBuildKit is one that treats an unknown operation in another way: then it is as BuildKit has it.
var errOtherBuildKit = errors.New("another BuildKit")

// unbuildable puts two operations on top of a graph: a step that is never run and names all cache
// mounts of steps that are not to be cached, and one of no kind, which stands on both. BuildKit reads
// a graph from the top and looks for a mount where the last step that names it says: below its id
// where the mount begins with something, at its id where it begins empty. It is nil when there is no
// such mount.
func unbuildable(def *pb.Definition) (*pb.Definition, error) {
	mounts, err := uncachedMounts(def)
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	var top pb.Op
	if err := top.UnmarshalVT(def.Def[len(def.Def)-1]); err != nil || len(top.Inputs) == 0 {
		return nil, fmt.Errorf("reading what is to be built: its last operation has no input: %w", err)
	}
	result := top.Inputs[0]
	step := &pb.ExecOp{
		Meta:   &pb.Meta{Args: []string{"never run"}, Cwd: "/"},
		Mounts: []*pb.Mount{{Input: 0, Dest: pb.RootMount, Output: int64(pb.SkipOutput)}},
	}
	for i, id := range slices.Sorted(maps.Keys(mounts)) {
		input := int64(0)
		if mounts[id] {
			input = int64(pb.Empty)
		}
		step.Mounts = append(step.Mounts, &pb.Mount{
			Input: input, Dest: fmt.Sprintf("/%d", i), Output: int64(pb.SkipOutput), MountType: pb.MountType_CACHE,
			CacheOpt: &pb.CacheOpt{ID: id},
		})
	}
	g := &pb.Definition{Def: slices.Clone(def.Def[:len(def.Def)-1]), Metadata: maps.Clone(def.Metadata), Source: def.Source}
	never, err := add(g, &pb.Op{Op: &pb.Op_Exec{Exec: step}, Inputs: []*pb.Input{result}})
	if err != nil {
		return nil, err
	}
	g.Metadata[string(never)] = &pb.OpMetadata{IgnoreCache: true}
	none, err := add(g, &pb.Op{Inputs: []*pb.Input{result, {Digest: string(never)}}})
	if err != nil {
		return nil, err
	}
	_, err = add(g, &pb.Op{Inputs: []*pb.Input{{Digest: string(none)}}})
	return g, err
}

// uncachedMounts are the ids of the cache mounts of steps that are not to be cached, and whether
// they begin with something.
func uncachedMounts(def *pb.Definition) (map[string]bool, error) {
	mounts := map[string]bool{}
	for _, text := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return nil, fmt.Errorf("reading what is to be built: %w", err)
		}
		if !def.Metadata[digest.FromBytes(text).String()].GetIgnoreCache() {
			continue
		}
		for _, m := range op.GetExec().GetMounts() {
			if m.MountType == pb.MountType_CACHE && m.CacheOpt.GetID() != "" {
				mounts[m.CacheOpt.ID] = mounts[m.CacheOpt.ID] || m.Input != int64(pb.Empty)
			}
		}
	}
	return mounts, nil
}

func add(g *pb.Definition, op *pb.Op) (digest.Digest, error) {
	text, err := op.MarshalVT()
	if err != nil {
		return "", fmt.Errorf("writing what is to be built: %w", err)
	}
	g.Def = append(g.Def, text)
	return digest.FromBytes(text), nil
}
