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
	dir := files(t, map[string]string{"Dockerfile": `ARG REGISTRY=none.example.com
FROM ${REGISTRY}/base AS one
FROM --platform=$BUILDPLATFORM named AS two
COPY --from=copied.example.com/x /a /b
RUN --mount=type=bind,from=mounted.example.com/x,target=/m true
FROM unused.example.com/x AS three
FROM two
COPY --from=one / /
`})
	var named []string
	unnamed := 0
	s := Session{
		Host: Host{Dir: dir}, Unnamed: func() { unnamed++ },
		Named: func(registries ...string) { named = append(named, registries...) },
	}
	o := Options{
		Context: ".", Args: map[string]string{"REGISTRY": "arg.example.com:5000"}, Contexts: []Context{{Name: "named", Value: "docker-image://context.example.com/x"}},
		Tags:      []string{"tag.example.com/app", "app"},
		Outputs:   []Output{{Type: "image", Attrs: map[string]string{"name": "push.example.com/app", "push": "true"}}},
		CacheFrom: []Cache{{Type: "registry", Attrs: map[string]string{"ref": "from.example.com/cache"}}},
		CacheTo:   []Cache{{Type: "registry", Attrs: map[string]string{"ref": "to.example.com/cache"}}},
	}
	j, err := s.prepare(t.Context(), o)
	if err != nil {
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
	named = nil
	n := &near{Client: engine{&frontendHost{j}}, job: j, status: make(chan *client.SolveStatus, 99), told: &told{}}
	if _, err := builder.Build(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	slices.Sort(named)
	want := "arg.example.com:5000 context.example.com copied.example.com mounted.example.com"
	if got := strings.Join(slices.Compact(named), " "); got != want || unnamed != 0 {
		t.Errorf("its Dockerfile names %s, and %d frontends at the engine", got, unnamed)
	}
}

// What another frontend comes to is not seen from here.
func TestAFrontendAtTheEngineMayNeedOthers(t *testing.T) {
	dir := files(t, map[string]string{"Dockerfile": "# syntax=frontend.example.com/x\nFROM scratch\n"})
	var named []string
	unnamed := 0
	s := Session{
		Host: Host{Dir: dir}, Unnamed: func() { unnamed++ },
		Named: func(registries ...string) { named = append(named, registries...) },
	}
	j, err := s.prepare(t.Context(), Options{Context: "."})
	if err != nil {
		t.Fatal(err)
	}
	n := &near{Client: engine{&frontendHost{j}}, job: j, status: make(chan *client.SolveStatus, 99), told: &told{}}
	if _, err := n.Solve(t.Context(), gateway.SolveRequest{Frontend: "gateway.v0", FrontendOpt: map[string]string{"source": "frontend.example.com/x"}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(named, "frontend.example.com") || unnamed != 1 {
		t.Errorf("it names %v, and %d frontends at the engine", named, unnamed)
	}
}
