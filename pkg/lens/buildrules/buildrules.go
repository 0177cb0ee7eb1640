// Package buildrules runs BuildKit's own linter on a Dockerfile, in this process: no engine is asked, and every base image is taken for
// an empty one.
package buildrules

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/linnet-dev/linnet/pkg/lens"
)

// Check is what BuildKit's linter says of a Dockerfile whose context has a .dockerignore of this text. Its `# check=` is honoured.
func Check(ctx context.Context, name string, text, ignore []byte) ([]lens.Rule, error) {
	h := &host{ignore: ignore}
	ui, err := dockerui.NewClient(h)
	if err != nil {
		return nil, err
	}
	source := llb.NewSourceMap(nil, name, "Dockerfile", text)
	source.Definition = &llb.Definition{} // it comes from no state
	results, err := dockerfile2llb.DockerfileLint(ctx, text, dockerfile2llb.ConvertOpt{
		Config: ui.Config, Client: ui, MetaResolver: h, SourceMap: source,
	})
	if err != nil {
		return nil, err
	}
	var all []lens.Rule
	for _, w := range results.Warnings {
		r := lens.Rule{ID: w.RuleName, Text: w.Detail, URL: w.URL}
		r.Line, r.End = lines(w.Location)
		all = append(all, r)
	}
	// With `# check=error=true` the findings themselves are an error, too.
	if e := results.Error; e != nil && !strings.HasPrefix(e.Message, "lint violation found for rules") {
		r := lens.Rule{Text: e.Message, Failed: true}
		r.Line, r.End = lines(&e.Location)
		all = append(all, r)
	}
	return all, nil
}

func lines(where *pb.Location) (first, last int) {
	if where == nil || len(where.Ranges) == 0 {
		return 0, 0
	}
	return int(where.Ranges[0].Start.Line), int(where.Ranges[len(where.Ranges)-1].End.Line)
}

// host is what BuildKit's frontend asks: it has a .dockerignore, and nothing else.
type host struct{ ignore []byte }

func linux() ocispecs.Platform { return ocispecs.Platform{OS: "linux", Architecture: "amd64"} }

func (h *host) BuildOpts() client.BuildOpts {
	return client.BuildOpts{
		Opts: map[string]string{"platform": "linux/amd64"}, SessionID: "here", Product: "linnet",
		LLBCaps: pb.Caps.CapSet(pb.Caps.All()), Caps: gwpb.Caps.CapSet(gwpb.Caps.All()),
		Workers: []client.WorkerInfo{{Platforms: []ocispecs.Platform{linux()}}},
	}
}

func (h *host) Solve(context.Context, client.SolveRequest) (*client.Result, error) {
	res := client.NewResult()
	res.SetRef(&dir{h.ignore})
	return res, nil
}

func (h *host) Inputs(context.Context) (map[string]llb.State, error) { return nil, nil }

func image(opt sourceresolver.Opt) ([]byte, error) {
	p := linux()
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		p = *opt.ImageOpt.Platform
	}
	return json.Marshal(ocispecs.Image{Platform: p})
}

func (h *host) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	text, err := image(opt)
	return ref, digest.FromString(ref), text, err
}

func (h *host) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	text, err := image(opt)
	return &sourceresolver.MetaResponse{Op: op, Image: &sourceresolver.ResolveImageResponse{Digest: digest.FromString(op.Identifier), Config: text}}, err
}

var errNone = errors.New("there is no engine")

func (h *host) NewContainer(context.Context, client.NewContainerRequest) (client.Container, error) {
	return nil, errNone
}

func (h *host) Warn(context.Context, digest.Digest, string, client.WarnOpts) error { return nil }

// dir is a directory with a .dockerignore alone, as the result of a solve.
type dir struct{ ignore []byte }

func (d *dir) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	if req.Filename != dockerui.DefaultDockerignoreName || d.ignore == nil {
		return nil, fs.ErrNotExist
	}
	return d.ignore, nil
}

func (d *dir) ToState() (llb.State, error)    { return llb.Scratch(), nil }
func (d *dir) Evaluate(context.Context) error { return nil }

func (d *dir) StatFile(_ context.Context, req client.StatRequest) (*fstypes.Stat, error) {
	if req.Path != dockerui.DefaultDockerignoreName || d.ignore == nil {
		return nil, fs.ErrNotExist
	}
	return &fstypes.Stat{Path: req.Path, Size: int64(len(d.ignore))}, nil
}

func (d *dir) ReadDir(context.Context, client.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errNone
}
