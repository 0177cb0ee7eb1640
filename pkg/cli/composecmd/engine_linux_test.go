package composecmd_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	typesapi "github.com/containerd/containerd/api/types"
	control "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/buildid"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/host"
)

// fakeEngine is containerd's image store and BuildKit, as far as a build from scratch needs them: it keeps what it was
// asked to build, and has the image afterwards. A step `exit N` fails; one that begins with "sleep" lasts until the build
// is called off.
type fakeEngine struct {
	mu     sync.Mutex
	images map[string]string // digests, by full name
	solves map[string]*solve // by ref
	built  []string          // a line each: the image's name, and the options that are not plain
	begun  chan struct{}     // has a word for each build that lasts
}

// plain are the options that every build of the project proj has.
var plain = []string{"build-arg:BUILDKIT_CACHE_MOUNT_NS=linnet/proj", "filename=Dockerfile", "image-resolve-mode=local"}

// solve is one build.
type solve struct {
	step            string // the command that its image is made by
	returned, ended chan struct{}
	failure         error // of the frontend
}

// start listens where the engine of a home listens, until the listeners are closed.
func (e *fakeEngine) start(l host.Layout) (end func(), err error) {
	var servers []*grpc.Server
	end = func() {
		for _, s := range servers {
			s.Stop()
		}
	}
	for daemon, register := range map[string]func(*grpc.Server){
		"agent":      func(*grpc.Server) {}, // no command asks it anything
		"containerd": func(s *grpc.Server) { imagesapi.RegisterImagesServer(s, imageStore{engine: e}) },
		"buildkitd": func(s *grpc.Server) {
			control.RegisterControlServer(s, builder{engine: e})
			gateway.RegisterLLBBridgeServer(s, bridge{engine: e})
		},
	} {
		listener, err := net.Listen("unix", l.Socket(daemon))
		if err != nil {
			end()
			return nil, err
		}
		s := grpc.NewServer()
		register(s)
		servers = append(servers, s)
		go func() { _ = s.Serve(listener) }()
	}
	return end, nil
}

// solve is the build of a ref, which is known by the first call that is about it.
func (e *fakeEngine) solve(ref string) *solve {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.solves[ref] == nil {
		e.solves[ref] = &solve{returned: make(chan struct{}), ended: make(chan struct{})}
	}
	return e.solves[ref]
}

// taken returns what was built since it was asked for last, in the order of names.
func (e *fakeEngine) taken() (built []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	built, e.built = slices.Sorted(slices.Values(e.built)), nil
	return built
}

// put adds an image, by a name as a user writes it.
func (e *fakeEngine) put(name, digest string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !strings.Contains(name, "/") {
		name = "docker.io/library/" + name
	}
	if !strings.Contains(name[strings.LastIndex(name, "/"):], ":") {
		name += ":latest"
	}
	e.images[name] = digest
}

type imageStore struct {
	imagesapi.UnimplementedImagesServer
	engine *fakeEngine
}

func (s imageStore) Get(_ context.Context, req *imagesapi.GetImageRequest) (*imagesapi.GetImageResponse, error) {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	digest, ok := s.engine.images[req.Name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "image %q: not found", req.Name)
	}
	return &imagesapi.GetImageResponse{Image: &imagesapi.Image{Name: req.Name, Target: &typesapi.Descriptor{Digest: digest}}}, nil
}

type builder struct {
	control.UnimplementedControlServer
	engine *fakeEngine
}

// Session is the client's; nothing is asked of it.
func (builder) Session(stream control.Control_SessionServer) error {
	for {
		if _, err := stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func (b builder) Status(req *control.StatusRequest, stream control.Control_StatusServer) error {
	select {
	case <-b.engine.solve(req.Ref).ended:
	case <-stream.Context().Done():
	}
	return nil
}

func (b builder) Solve(ctx context.Context, req *control.SolveRequest) (*control.SolveResponse, error) {
	s := b.engine.solve(req.Ref)
	defer close(s.ended)
	select {
	case <-s.returned:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case s.failure != nil:
		return nil, s.failure
	case strings.HasPrefix(s.step, "exit "):
		return nil, status.Errorf(codes.Unknown, "process %q did not complete successfully: exit code: %s", "/bin/sh -c "+s.step, strings.TrimPrefix(s.step, "exit "))
	case strings.HasPrefix(s.step, "sleep "):
		select {
		case b.engine.begun <- struct{}{}:
		case <-ctx.Done():
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	exporter := req.Exporters[0].Attrs
	names := strings.Split(exporter["name"], ",")
	line := strings.TrimPrefix(strings.TrimSuffix(names[0], ":latest"), "docker.io/library/")
	for _, key := range slices.Sorted(maps.Keys(req.FrontendAttrs)) {
		if word := key + "=" + req.FrontendAttrs[key]; !slices.Contains(plain, word) {
			line += " " + word
		}
	}
	if exporter["push"] != "" {
		line += " push=" + exporter["push"]
	}
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	b.engine.built = append(b.engine.built, line)
	for _, name := range names {
		b.engine.images[name] = "sha256:new"
	}
	return &control.SolveResponse{}, nil
}

// bridge is what a frontend sees of BuildKit.
type bridge struct {
	gateway.UnimplementedLLBBridgeServer
	engine *fakeEngine
}

func (bridge) Ping(context.Context, *gateway.PingRequest) (*gateway.PongResponse, error) {
	return &gateway.PongResponse{FrontendAPICaps: gateway.Caps.All(), LLBCaps: pb.Caps.All()}, nil
}

func (bridge) Inputs(context.Context, *gateway.InputsRequest) (*gateway.InputsResponse, error) {
	return &gateway.InputsResponse{}, nil
}

func (b bridge) Solve(ctx context.Context, req *gateway.SolveRequest) (*gateway.SolveResponse, error) {
	s := b.engine.solve(buildid.FromIncomingContext(ctx))
	for _, text := range req.GetDefinition().GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return nil, err
		}
		if args := op.GetExec().GetMeta().GetArgs(); len(args) > 0 {
			s.step = args[len(args)-1]
		}
	}
	return &gateway.SolveResponse{Result: &gateway.Result{Result: &gateway.Result_Ref{Ref: &gateway.Ref{Id: "made", Def: req.Definition}}}}, nil
}

func (b bridge) Return(ctx context.Context, req *gateway.ReturnRequest) (*gateway.ReturnResponse, error) {
	s := b.engine.solve(buildid.FromIncomingContext(ctx))
	if req.Error != nil {
		s.failure = status.ErrorProto(req.Error)
	}
	close(s.returned)
	return &gateway.ReturnResponse{}, nil
}
