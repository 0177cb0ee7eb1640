package build

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
)

// localGateway is the engine's BuildKit as a frontend sees it that runs in this process.
type localGateway struct {
	gateway.Client
	job    *job
	status chan<- *client.SolveStatus
	// opts are the frontend's; nil are the client's own.
	opts map[string]string
	log  *frontendLog
}

// frontendLog is what a frontend has done and remarked.
type frontendLog struct {
	mu       sync.Mutex
	steps    []*client.Vertex
	warnings []*client.VertexWarning
	ended    bool
}

// options are a frontend's, as a copy: frontends change them.
func (n *localGateway) options() map[string]string {
	opts := n.opts
	if opts == nil {
		opts = n.Client.BuildOpts().Opts
	}
	if opts == nil {
		return map[string]string{}
	}
	return maps.Clone(opts)
}

// BuildOpts implements gateway.Client.
func (n *localGateway) BuildOpts() gateway.BuildOpts {
	o := n.Client.BuildOpts()
	o.Opts = withPlatform(n.options())
	return o
}

// with is the same with one more option, and without with one less.
func (n *localGateway) with(key, value string) *localGateway {
	again := n.without(key)
	again.opts[key] = value
	return again
}

func (n *localGateway) without(key string) *localGateway {
	again := *n
	again.opts = n.options()
	delete(again.opts, key)
	return &again
}

// Solve implements gateway.Client. What can be answered here is not sent: the files of a directory that a
// frontend reads, and a Dockerfile whose syntax this frontend covers.
func (n *localGateway) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if err := n.job.nameSources(req.Definition); err != nil {
		return nil, err
	}
	if req.Frontend == "gateway.v0" && covered(req.FrontendOpt["source"]) {
		return builder.Build(ctx, n.with(cmdlineKey, req.FrontendOpt[cmdlineKey]))
	}
	dir, err := n.job.directory(req.Definition)
	if err != nil {
		return nil, err
	}
	if dir == nil {
		if req.Frontend != "" {
			n.job.nameImages(req.FrontendOpt["source"])
			n.job.nameUnseen()
		}
		return n.Client.Solve(ctx, req)
	}
	n.show(req.Definition)
	res := gateway.NewResult()
	res.SetRef(&dirRef{dir})
	return res, nil
}

// ResolveImageConfig implements gateway.Client. BuildKit's own client forgets here whether an image of the
// store counts, and the image's name where there is an error.
func (n *localGateway) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	n.job.nameImages(ref)
	return sourceresolver.NewImageMetaResolver(n.Client).ResolveImageConfig(ctx, ref, opt)
}

// show has a step of the frontend's seen, which BuildKit does not know of.
func (n *localGateway) show(def *pb.Definition) {
	step, now := digest.FromBytes(def.Def[0]), time.Now()
	v := &client.Vertex{Digest: step, Name: def.Metadata[step.String()].GetDescription()["llb.customname"], Started: &now}
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	if n.log.ended || n.log.has(step) {
		return // the frontend runs once more
	}
	begun := *v
	n.status <- &client.SolveStatus{Vertexes: []*client.Vertex{&begun}}
	ended := time.Now()
	v.Completed = &ended
	n.log.steps = append(n.log.steps, v)
}

func (t *frontendLog) has(step digest.Digest) bool {
	return slices.ContainsFunc(t.steps, func(v *client.Vertex) bool { return v.Digest == step })
}

// Warn implements gateway.Client. A remark on what was read here belongs to the step that has read it.
func (n *localGateway) Warn(ctx context.Context, step digest.Digest, text string, opts gateway.WarnOpts) error {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	switch {
	case n.log.ended:
		return nil // the frontend runs once more
	case !n.log.has(step):
		return n.Client.Warn(ctx, step, text, opts)
	}
	n.log.warnings = append(n.log.warnings, &client.VertexWarning{
		Vertex: step, Level: opts.Level, Short: []byte(text), Detail: opts.Detail, URL: opts.URL, SourceInfo: opts.SourceInfo, Range: opts.Range,
	})
	return nil
}

// end shows a frontend's steps as done, with its remarks: a display looks for those while a step goes on.
func (n *localGateway) end() {
	n.log.mu.Lock()
	defer n.log.mu.Unlock()
	if n.log.ended {
		return
	}
	n.log.ended = true
	n.status <- &client.SolveStatus{Vertexes: n.log.steps, Warnings: n.log.warnings}
}

// directory is a directory of this host that is asked for to read single files of it, as frontends do; nil
// is anything else. A directory for steps is sent: a frontend that reads single files wants no differences to what
// was sent before.
func (j *job) directory(def *pb.Definition) (fsutil.FS, error) {
	if len(def.GetDef()) != 2 { // itself, and that it is the result
		return nil, nil
	}
	var op pb.Op
	if err := op.UnmarshalVT(def.Def[0]); err != nil {
		return nil, err
	}
	name, ok := strings.CutPrefix(op.GetSource().GetIdentifier(), "local://")
	if !ok || op.GetSource().GetAttrs()[pb.AttrLocalDiffer] != pb.AttrLocalDifferNone {
		return nil, nil
	}
	return j.mounts[name], nil
}
