// Package build is a build from the host: a BuildKit solve whose session is held here. The
// build context is streamed as it is asked for, and so are secrets, an SSH agent's answers and
// registry credentials; none of them has to be visible to the engine.
//
// It knows an engine as a guest.Guest alone. It must not learn which guest that is, what a
// command line is, or where settings come from: what is to be built is plain data, an options.Options.
package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Session is where builds run. One may be used for several builds at once.
type Session struct {
	Guest guest.Guest
	Host  options.Host
	// Credentials answers for a registry; empty Credentials without an error mean that there
	// are none. Nil is the same for every registry.
	Credentials func(ctx context.Context, registry string) (guest.Credentials, error)
	// Named, when set, is told of registries as a build names them: in its options, then in what the
	// frontend makes of the Dockerfile. BuildKit asks for their credentials after that, not before.
	// Unnamed, when set, is told that a frontend runs at the engine, whose images are not seen here.
	Named   func(registries ...string)
	Unnamed func()
	// Layout says where this host keeps recent builds, imported cache and the seed from which keys for registry
	// tokens are derived, so that an engine can use a token again without seeing a password. With none nothing is
	// kept, and the seed is in docker's own directory.
	Layout host.Layout
	// Snapshotter is the engine's; empty means overlayfs.
	Snapshotter string
	// Emulate, when set, makes the programs of these platforms run. It returns what the user is told when a first step
	// runs on a foreign architecture, by architecture. Its error says why some do not run: a build may run none of them, so it
	// is told only with a step's failure that it may explain.
	Emulate func(ctx context.Context, platforms []string) (notes map[string]string, err error)
	// Ready, when set, is called when BuildKit answers, before the build is shown.
	Ready func()
}

// Result is what a build has made.
type Result struct {
	// ID is the digest by which the engine's image store knows the image; empty when the
	// build made no image.
	ID string
	// Ref is the build's own identifier.
	Ref string
	// Response is what exporters said, as BuildKit has it: containerimage.digest and so on.
	Response map[string]string
	// Warnings are the remarks of the frontend.
	Warnings []string
	// Dropped says what a result that is a directory of this host has lost on the way, in lines.
	Dropped []string
}

// Build builds. Mistakes that can be seen from here are errors before the engine is started or
// sent anything. When ctx ends, so does the build in the guest, and Build soon returns.
func (s Session) Build(ctx context.Context, o options.Options, d Display) (Result, error) {
	job, err := s.prepare(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer job.close()
	return s.run(ctx, job, d)
}

// run has the engine do a job.
func (s Session) run(ctx context.Context, job *job, d Display) (Result, error) {
	if err := s.Guest.Ready(ctx); err != nil {
		return Result{}, err
	}
	c, err := s.connect(ctx, job.watch)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = c.Close() }() // the build has ended
	var notes map[string]string
	var missing error
	if s.Emulate != nil {
		notes, missing = s.Emulate(ctx, job.platforms())
	}
	if s.Ready != nil {
		s.Ready()
	}
	ctx, job.lost = context.WithCancelCause(ctx)
	defer job.lost(nil)
	res, warnings, err := solve(ctx, c, job, job.tellEmulated(d, notes))
	if err != nil {
		return Result{}, withMissing(job.explain(ctx, err), missing)
	}
	if err := job.commit(); err != nil {
		return Result{}, err
	}
	if job.options.Request != "" {
		return Result{Response: job.answers}, nil
	}
	if r, ok := job.recipe(s.Host.Dir); ok {
		state.Remember(s.Layout, r)
	}
	var remarks []string
	for _, w := range warnings {
		remarks = append(remarks, string(w.Short))
	}
	r := Result{ID: imageID(res.ExporterResponse), Ref: job.opt.Ref, Response: res.ExporterResponse, Warnings: remarks, Dropped: job.dropped.Lines()}
	if err := s.finish(ctx, job, res.ExporterResponse); err != nil {
		return r, err
	}
	return r, s.settle(ctx)
}

// settle brings the result to the disk of a guest that can end at any moment. BuildKit syncs its databases, and not what
// they speak of: the end of a file that grew while the journal was committed could be missing after the kernel's panic.
func (s Session) settle(ctx context.Context) error {
	settle := s.Guest.Capabilities().Settle
	if settle == nil {
		return nil
	}
	if err := settle(ctx); err != nil {
		return fmt.Errorf("writing the result to the guest's disk: %w", err)
	}
	return nil
}

// recipe is a build that can be asked for again for its cache alone, where its context is a directory.
func (j *job) recipe(dir string) (r state.Recipe, ok bool) {
	o := j.options
	if j.dir == "" || o.File == "-" || o.Request != "" {
		return r, false
	}
	o.Context = j.dir
	o.NoCache, o.NoCacheFilter, o.Pull = false, nil, false
	o.Tags, o.Annotations, o.Outputs, o.Attests, o.CacheFrom, o.CacheTo = nil, nil, nil, nil, nil, nil
	return state.Recipe{Dir: dir, Options: o}, true
}

// finish unpacks what the exporter has left packed: images for other platforms than the engine's,
// and those whose times were rewritten. run would do it, once, and the user would wait then.
func (s Session) finish(ctx context.Context, j *job, response map[string]string) error {
	if !j.unpack || (!j.rewritten && j.attrs["platform"] == "") {
		return nil
	}
	image, err := resultOf(response)
	if err != nil {
		return fmt.Errorf("unpacking the result: %w", err)
	}
	st, err := store.Open(ctx, s.Guest, s.Snapshotter)
	if err != nil {
		return fmt.Errorf("unpacking the result: %w", err)
	}
	defer st.Close()
	if err := st.Unpack(ctx, image); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("unpacking the result: %w", err)
	}
	return nil
}

// Images says which of the images are in the engine's image store: the digest by which it knows
// each, under the name that was asked for.
func (s Session) Images(ctx context.Context, names []string) (map[string]string, error) {
	if err := s.Guest.Ready(ctx); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, s.Guest, s.Snapshotter)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.Images(ctx, names)
}

// Open connects to a BuildKit that is ready.
func (s Session) Open(ctx context.Context, watch ...grpc.UnaryClientInterceptor) (*client.Client, error) {
	if err := s.Guest.Ready(ctx); err != nil {
		return nil, err
	}
	if s.Ready != nil {
		s.Ready()
	}
	return s.connect(ctx, watch...)
}

// connect opens BuildKit; the first connection is made here, so that its error is plain. Calls go through watch.
func (s Session) connect(ctx context.Context, watch ...grpc.UnaryClientInterceptor) (*client.Client, error) {
	dial, drop, err := store.Dialer(ctx, s.Guest, guest.BuildKit)
	if err != nil {
		return nil, err
	}
	c, err := client.New(ctx, "unix:///buildkit", client.WithContextDialer(dial), client.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(watch...)))
	if err != nil {
		drop()
		return nil, fmt.Errorf("connecting to BuildKit: %w", err)
	}
	return c, nil
}

// grace is how long a build that was called off may take to say so. BuildKit ends it by itself
// when the connection is gone.
const grace = time.Second

// solve runs the build and shows it. The display has ended when it returns.
func solve(ctx context.Context, c *client.Client, j *job, d Display) (*client.SolveResponse, []client.VertexWarning, error) {
	status := make(chan *client.SolveStatus)
	shown := make(chan []client.VertexWarning, 1)
	go func() { shown <- d.through(stripWrapper).show(ctx, status) }()
	type ended struct {
		res *client.SolveResponse
		err error
	}
	done := make(chan ended, 1)
	go func() {
		var e ended
		e.res, e.err = j.send(ctx, c, status)
		done <- e
	}()
	var e ended
	select {
	case e = <-done:
	case <-ctx.Done():
		wait := grace
		if errors.As(context.Cause(ctx), new(*refused)) {
			wait = 0 // there is nothing to end
		}
		select {
		case e = <-done:
		case <-time.After(wait):
			return nil, nil, context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return nil, <-shown, context.Cause(ctx)
	}
	return e.res, <-shown, e.err
}

// Rebuild builds what was built before and returns the images that it begins with. Secrets that are not there any more
// are left out: steps that have run do not ask.
func (s Session) Rebuild(ctx context.Context, o options.Options, d Display) (images []string, err error) {
	o.Secrets = slices.DeleteFunc(slices.Clone(o.Secrets), func(one options.Secret) bool {
		_, err := newSecrets(s.Host, []options.Secret{one})
		return err != nil
	})
	o.SSH = slices.DeleteFunc(slices.Clone(o.SSH), func(one options.SSH) bool { return len(one.Paths) == 0 && s.Host.Env("SSH_AUTH_SOCK") == "" })
	j, err := s.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	defer j.close()
	j.see = func(ctx context.Context, res *gateway.Result) error {
		return eachDefinition(ctx, res, func(def *pb.Definition) error {
			found, err := baseImages(def)
			images = append(images, found...)
			return err
		})
	}
	c, err := s.Open(ctx, j.watch)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // the build has ended
	if _, _, err := solve(ctx, c, j, d); err != nil {
		return nil, j.explain(ctx, err)
	}
	return images, nil
}
