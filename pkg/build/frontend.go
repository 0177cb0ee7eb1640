package build

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
)

// frontendHost is what BuildKit's frontend runs on when it runs here: it reads the directories that
// would be sent, and takes every base image for an empty one.
type frontendHost struct{ job *job }

func (h *frontendHost) BuildOpts() client.BuildOpts {
	opts := withPlatform(maps.Clone(h.job.attrs))
	opts[cmdlineKey] = "here" // so that no other frontend is looked for
	return client.BuildOpts{
		Opts: opts, SessionID: "here", Product: "linnet",
		LLBCaps: pb.Caps.CapSet(pb.Caps.All()), Caps: gwpb.Caps.CapSet(gwpb.Caps.All()),
		Workers: []client.WorkerInfo{{Platforms: []ocispecs.Platform{linux()}}},
	}
}

// withPlatform says which platform is meant: where none is named, a frontend takes that of the system it runs
// on.
func withPlatform(opts map[string]string) map[string]string {
	if opts["platform"] == "" {
		opts["platform"] = platforms.Format(linux())
	}
	return opts
}

// linux is the engine's platform: this machine's architecture.
func linux() ocispecs.Platform {
	p := platforms.DefaultSpec()
	p.OS, p.OSVersion, p.OSFeatures = "linux", "", nil
	return platforms.Normalize(p)
}

// Solve opens a directory; there is nothing else that could be solved here.
func (h *frontendHost) Solve(_ context.Context, req client.SolveRequest) (*client.Result, error) {
	dir, err := h.job.directory(req.Definition)
	if err != nil {
		return nil, err
	}
	if dir == nil {
		return nil, errElsewhere
	}
	res := client.NewResult()
	res.SetRef(&dirRef{dir})
	return res, nil
}

func (h *frontendHost) Inputs(context.Context) (map[string]llb.State, error) { return nil, nil }

func emptyImage(opt sourceresolver.Opt) ([]byte, error) {
	p := linux()
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		p = *opt.ImageOpt.Platform
	}
	return json.Marshal(ocispecs.Image{Platform: p})
}

func (h *frontendHost) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	text, err := emptyImage(opt)
	return ref, digest.FromString(ref), text, err
}

func (h *frontendHost) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	text, err := emptyImage(opt)
	return &sourceresolver.MetaResponse{Op: op, Image: &sourceresolver.ResolveImageResponse{Digest: digest.FromString(op.Identifier), Config: text}}, err
}

func (h *frontendHost) NewContainer(context.Context, client.NewContainerRequest) (client.Container, error) {
	return nil, errElsewhere
}

func (h *frontendHost) Warn(context.Context, digest.Digest, string, client.WarnOpts) error {
	return nil
}

// dirRef is a directory of this host as the result of a solve.
type dirRef struct{ fsutil.FS }

func (r *dirRef) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	if on, ok := r.FS.(localdir.Dir); ok {
		text, err := on.Read(req.Filename, localdir.MostDockerfile)
		if err == nil && req.Range != nil && req.Range.Length > 0 {
			text = text[:min(len(text), req.Range.Length)]
		}
		return text, err
	}
	f, err := r.Open(req.Filename)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if req.Range != nil && req.Range.Length > 0 {
		in = io.LimitReader(f, int64(req.Range.Length))
	}
	return io.ReadAll(in)
}

func (r *dirRef) ToState() (llb.State, error)    { return llb.Scratch(), nil }
func (r *dirRef) Evaluate(context.Context) error { return nil }

func (r *dirRef) StatFile(context.Context, client.StatRequest) (*fstypes.Stat, error) {
	return nil, os.ErrNotExist // the frontend that asks reads next
}

func (r *dirRef) ReadDir(context.Context, client.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errElsewhere
}
