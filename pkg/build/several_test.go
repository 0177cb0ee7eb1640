package build

import (
	"slices"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

func TestSeveralBuildsAreShownAsOne(t *testing.T) {
	var names []string
	digests := map[digest.Digest]bool{}
	of, end := watch(func(s *client.SolveStatus) {
		for _, v := range s.Vertexes {
			names = append(names, v.Name)
			digests[v.Digest] = true
		}
		for _, l := range s.Logs {
			if !digests[l.Vertex] {
				t.Errorf("a line belongs to no step: %q", l.Data)
			}
		}
	}).Several(t.Context())
	var all sync.WaitGroup
	for _, name := range []string{"web", "api"} {
		all.Go(func() {
			ch := make(chan *client.SolveStatus, 1)
			ch <- &client.SolveStatus{
				Vertexes: []*client.Vertex{{Digest: "sha256:a", Name: "[ 1/2] RUN x"}, {Digest: "sha256:b", Name: "exporting", Inputs: []digest.Digest{"sha256:a"}}},
				Logs:     []*client.VertexLog{{Vertex: "sha256:a", Data: []byte("x")}},
			}
			close(ch)
			of(name).show(t.Context(), ch)
		})
	}
	all.Wait()
	end()
	late := make(chan *client.SolveStatus, 1)
	late <- &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: "sha256:c", Name: "late"}}}
	close(late)
	of("web").show(t.Context(), late) // a build that was called off: neither waits nor shows
	slices.Sort(names)
	if want := []string{"[api 1/2] RUN x", "[api] exporting", "[web 1/2] RUN x", "[web] exporting"}; !slices.Equal(names, want) || len(digests) != 4 {
		t.Errorf("shown %q of %d steps", names, len(digests))
	}
}
