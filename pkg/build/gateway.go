package build

import (
	"context"
	"fmt"
	"slices"
	"strings"

	control "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
)

// send has BuildKit solve a job. What is to be done is made of the Dockerfile first, and then done.
func (j *job) send(ctx context.Context, c *client.Client, status chan *client.SolveStatus) (*client.SolveResponse, error) {
	s, end, err := j.openSession(context.WithoutCancel(ctx), c)
	if err != nil {
		close(status)
		return nil, err
	}
	defer end()
	j.opt.SharedSession, j.opt.SessionPreInitialized = s, true
	res, err := c.Build(ctx, j.opt, "linnet", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		j.begun.Store(true)
		// Build closes the channel only after this has returned.
		res, err := j.convert(ctx, &localGateway{Client: g, job: j, status: status, log: &frontendLog{}})
		j.failed = err
		return res, err
	}, status)
	if err != nil {
		return nil, err
	}
	return res, j.indexLayouts(res.ExporterResponse)
}

// watch sees what a build asks of BuildKit.
func (j *job) watch(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	// The client asks first which platforms there are. A frontend that runs here takes the first of them for
	// the engine's own, which is known; but BuildKit would try to run a program of every architecture.
	if workers, ok := reply.(*control.ListWorkersResponse); ok {
		workers.Record = []*types.WorkerRecord{{Platforms: pb.PlatformsFromSpec([]ocispecs.Platform{linux()})}}
		return nil
	}
	err := call(ctx, method, req, reply, cc, opts...)
	// A build that is refused as a whole would be waited for, by the frontend that runs here, for 3 s more.
	if _, ok := reply.(*control.SolveResponse); ok && err != nil && !j.begun.Load() {
		j.lose(&refused{grpcerrors.FromGRPC(err)})
	}
	return err
}

// refused is a build that was ended before its frontend began.
type refused struct{ error }

// convert makes of the Dockerfile what is to be done, which is done when it returns, and no sooner.
func (j *job) convert(ctx context.Context, n *localGateway) (*gateway.Result, error) {
	res, err := j.solveFrontend(ctx, n)
	if err != nil {
		return nil, err
	}
	if j.options.Request != "" {
		j.answers = answersOf(res)
		return gateway.NewResult(), nil
	}
	if res, err = j.keepMounts(ctx, n, res); err != nil {
		return nil, err
	}
	if j.see != nil {
		if err := j.see(ctx, res); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// solveFrontend is what a frontend comes to, with the steps changed that want a secret as a variable.
func (j *job) solveFrontend(ctx context.Context, n *localGateway) (*gateway.Result, error) {
	res, err := j.frontend(ctx, n)
	if err != nil {
		return nil, err
	}
	return res, j.handSecrets(ctx, n, res)
}

// frontend runs BuildKit's frontend: here, where a directory of this host need not be sent for the few
// files of it that a frontend reads, or at the engine. There it says in an image's provenance what it
// was asked, which one that runs here cannot.
func (j *job) frontend(ctx context.Context, n *localGateway) (*gateway.Result, error) {
	if !j.provenance() && j.opt.Frontend == ownFrontend {
		defer n.end()
		return builder.Build(ctx, n)
	}
	j.nameUnseen()
	req := gateway.SolveRequest{Frontend: j.opt.Frontend, FrontendOpt: n.options()}
	if j.fetched() {
		// Read by the same steps that the frontend then finds done.
		ui, err := dockerui.NewClient(n.Client)
		if err != nil {
			return nil, err
		}
		src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
		if err != nil {
			return nil, err
		}
		if name, cmdline, ok := syntax(src.Data); ok && covered(name) {
			req.FrontendOpt[cmdlineKey] = cmdline
		}
	}
	return n.Client.Solve(ctx, req)
}

// ownFrontend is BuildKit's own, and cmdlineKey its option that says how it was called: then it looks
// for no other.
const (
	ownFrontend = "dockerfile.v0"
	cmdlineKey  = "cmdline"
)

// provenance reports whether the result shall tell how it was made.
func (j *job) provenance() bool {
	_, ok := j.attrs["attest:provenance"]
	return ok
}

// fetched reports whether the Dockerfile comes with a context that the engine fetches.
func (j *job) fetched() bool {
	_, own := j.attrs["dockerfilekey"]
	return j.attrs[localContext] != "" && !own && j.opt.Frontend == ownFrontend
}

// eachRef changes a result's file systems, those that are not empty: its own, one for each platform, and
// what is attested of them.
func eachRef(r *gateway.Result, change func(gateway.Reference) (gateway.Reference, error)) (err error) {
	one := func(ref gateway.Reference) gateway.Reference {
		if ref == nil || err != nil {
			return ref
		}
		ref, err = change(ref)
		return ref
	}
	r.Ref = one(r.Ref)
	for platform := range r.Refs {
		r.Refs[platform] = one(r.Refs[platform])
	}
	for _, all := range r.Attestations {
		for i := range all {
			all[i].Ref = one(all[i].Ref)
		}
	}
	return err
}

// eachDefinition looks at the graphs of a result's file systems.
func eachDefinition(ctx context.Context, r *gateway.Result, see func(*pb.Definition) error) error {
	return eachRef(r, func(ref gateway.Reference) (gateway.Reference, error) {
		def, err := definition(ctx, ref)
		if err != nil {
			return nil, err
		}
		return ref, see(def)
	})
}

// definition is the graph of operations that makes a file system.
func definition(ctx context.Context, ref gateway.Reference) (*pb.Definition, error) {
	state, err := ref.ToState()
	if err != nil {
		return nil, fmt.Errorf("reading what is to be built: %w", err)
	}
	def, err := state.Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be built: %w", err)
	}
	return def.ToPB(), nil
}

const imageScheme = "docker-image://"

// baseImages are the images that a graph begins with, as NAME:TAG@DIGEST.
func baseImages(def *pb.Definition) (images []string, err error) {
	for _, text := range def.GetDef() {
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
