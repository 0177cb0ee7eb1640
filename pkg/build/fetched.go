package build

import (
	"context"
	"maps"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// fetched says whether the Dockerfile comes with a context that the engine fetches.
func (j *job) fetched() bool {
	_, own := j.attrs["dockerfilekey"]
	return j.attrs[localContext] != "" && !own && j.opt.Frontend == "dockerfile.v0"
}

// solveInSteps builds with a Dockerfile that only the engine sees, or asks something about one. It
// is read first, by the same steps that the frontend then finds done, so that its `# syntax=` is
// known. What the frontend says besides a result stays in the job.
func solveInSteps(ctx context.Context, c *client.Client, j *job, status chan *client.SolveStatus) (*client.SolveResponse, error) {
	return c.Build(ctx, j.opt, "linnet", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		req := gateway.SolveRequest{Frontend: j.opt.Frontend, FrontendOpt: maps.Clone(j.attrs)}
		if j.fetched() {
			ui, err := dockerui.NewClient(g)
			if err != nil {
				return nil, err
			}
			src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
			if err != nil {
				return nil, err
			}
			if name, cmdline, ok := syntax(src.Data); ok && covered(name) {
				req.FrontendOpt["cmdline"] = cmdline
			}
		}
		for _, i := range j.opt.CacheImports {
			req.CacheImports = append(req.CacheImports, gateway.CacheOptionsEntry{Type: i.Type, Attrs: i.Attrs})
		}
		res, err := keepMounts(ctx, g, req)
		if err != nil || j.options.Request == "" {
			return res, err
		}
		j.answers = map[string]string{}
		for key, value := range res.Metadata {
			j.answers[key] = string(value)
		}
		return gateway.NewResult(), nil
	}, status)
}
