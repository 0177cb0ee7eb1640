package build

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// engine answers a frontend as an engine does, with nothing in it.
type engine struct{ *frontendHost }

func (engine) Solve(context.Context, gateway.SolveRequest) (*gateway.Result, error) {
	res := gateway.NewResult()
	res.SetRef(emptyRef{})
	return res, nil
}

// emptyRef is an empty file system.
type emptyRef struct{ gateway.Reference }

func (emptyRef) ToState() (llb.State, error) { return llb.Scratch(), nil }

func TestABuildNamesTheRegistriesThatItNeeds(t *testing.T) {
	var named []string
	s := Session{
		Host:  options.Host{Dir: hosttest.Files(t, map[string]string{"Dockerfile": "ARG REGISTRY\nFROM ${REGISTRY}/base\nCOPY --from=copied.example.com/x /a /b\n"})},
		Named: func(registries ...string) { named = append(named, registries...) },
	}
	o := options.Options{
		Context: ".", Args: map[string]string{"REGISTRY": "arg.example.com:5000"}, Contexts: []options.Context{{Name: "named", Value: "docker-image://context.example.com/x"}},
		Tags:      []string{"tag.example.com/app", "app"},
		Outputs:   []options.Output{{Type: "image", Attrs: map[string]string{"name": "push.example.com/app", "push": "true"}}},
		CacheFrom: []options.Cache{{Type: "registry", Attrs: map[string]string{"ref": "from.example.com/cache"}}},
		CacheTo:   []options.Cache{{Type: "registry", Attrs: map[string]string{"ref": "to.example.com/cache"}}},
	}
	if _, err := s.prepare(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	slices.Sort(named)
	got := strings.Join(slices.Compact(named), " ")
	for _, want := range []string{"context.example.com", "from.example.com", "push.example.com", "to.example.com"} {
		if !slices.Contains(named, want) {
			t.Errorf("its options name %s, and not %s", got, want)
		}
	}
	if strings.Contains(got, "arg.example.com") || strings.Contains(got, "copied") {
		t.Errorf("its options name %s", got)
	}
}

// Each Dockerfile has one image to resolve: BuildKit's frontend resolves several at once, and sets one variable of its
// own to the same value in each, which the race detector reports.
func TestADockerfileNamesTheRegistriesThatItNeeds(t *testing.T) {
	for text, want := range map[string]string{
		"ARG REGISTRY=none.example.com\nFROM ${REGISTRY}/base\n":                                                     "arg.example.com:5000",
		"FROM --platform=$BUILDPLATFORM named\n":                                                                     "context.example.com",
		"FROM scratch\nCOPY --from=copied.example.com/x /a /b\n":                                                     "copied.example.com",
		"FROM scratch\nRUN --mount=type=bind,from=mounted.example.com/x,target=/m true\n":                            "mounted.example.com",
		"FROM unused.example.com/x AS unused\nFROM used.example.com/x AS used\nFROM scratch\nCOPY --from=used / /\n": "used.example.com",
	} {
		var named []string
		unnamed := 0
		s := Session{
			Host: options.Host{Dir: hosttest.Files(t, map[string]string{"Dockerfile": text})}, Unnamed: func() { unnamed++ },
			Named: func(registries ...string) { named = append(named, registries...) },
		}
		j, err := s.prepare(t.Context(), options.Options{
			Context: ".", Args: map[string]string{"REGISTRY": "arg.example.com:5000"},
			Contexts: []options.Context{{Name: "named", Value: "docker-image://context.example.com/x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		named = nil
		n := &localGateway{Client: engine{&frontendHost{j}}, job: j, status: make(chan *client.SolveStatus, 99), log: &frontendLog{}}
		if _, err := builder.Build(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		slices.Sort(named)
		if got := strings.Join(slices.Compact(named), " "); got != want || unnamed != 0 {
			t.Errorf("%q names %s, and %d frontends at the engine", text, got, unnamed)
		}
	}
}

// What another frontend comes to is not seen from here.
func TestAFrontendAtTheEngineMayNeedOthers(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{"Dockerfile": "# syntax=frontend.example.com/x\nFROM scratch\n"})
	var named []string
	unnamed := 0
	s := Session{
		Host: options.Host{Dir: dir}, Unnamed: func() { unnamed++ },
		Named: func(registries ...string) { named = append(named, registries...) },
	}
	j, err := s.prepare(t.Context(), options.Options{Context: "."})
	if err != nil {
		t.Fatal(err)
	}
	n := &localGateway{Client: engine{&frontendHost{j}}, job: j, status: make(chan *client.SolveStatus, 99), log: &frontendLog{}}
	if _, err := n.Solve(t.Context(), gateway.SolveRequest{Frontend: "gateway.v0", FrontendOpt: map[string]string{"source": "frontend.example.com/x"}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(named, "frontend.example.com") || unnamed != 1 {
		t.Errorf("it names %v, and %d frontends at the engine", named, unnamed)
	}
}
