package build

import (
	"errors"
	"testing"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
)

// What BuildKit says, and what is made of it. The texts are BuildKit's own.
func TestErrorsInOneLine(t *testing.T) {
	j := &job{file: localdir.Dockerfile{Shown: "app/Dockerfile", Name: "Dockerfile", Text: []byte("FROM scratch AS one\nFROM one AS two\nRUN --security=insecure true\n")}}
	for _, c := range []struct{ buildkit, want string }{
		{`failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1`, `building: process "/bin/sh -c false" did not complete successfully: exit code: 1`},
		{`failed to solve: target stage "three" could not be found`, `building: app/Dockerfile has no stage "three" | it has one, two`},
		{`failed to solve: secret npm: not found`, `building: the step needs the secret npm, which was not supplied | --secret id=npm,src=FILE or --secret id=npm,env=VARIABLE`},
		{`failed to solve: failed to load LLB: security.insecure is not allowed`, `building: app/Dockerfile:3: a step asks for security.insecure, which is not allowed | --allow security.insecure, if you trust the Dockerfile with it`},
		{`failed to solve: failed to compute cache key: failed to calculate checksum of ref abc::def: "/gone": not found`, `building: "gone" is not there to be copied | check the path, from the top of the build context or of what --from names, and .dockerignore`},
		{"failed to solve: dockerfile parse error on line 2: unknown instruction: FOO", "building: unknown instruction: FOO"},
		{"failed to solve: failed to read dockerfile: failed to load cache key: error fetching default branch for repository https://x/y.git: git stderr:\nfatal: unable to access 'https://x/y.git/'\n: exit status 128", "building: error fetching default branch for repository https://x/y.git: unable to access 'https://x/y.git/'"},
		{`failed to solve: localhost:1/x: failed to resolve source metadata for localhost:1/x:latest: failed to do request: dial tcp: connect: connection refused`, `building: resolving localhost:1/x:latest: failed to do request: dial tcp: connect: connection refused | check the name and the network: it cannot be reached from the engine`},
		{`failed to solve: x: failed to resolve source metadata for docker.io/library/x:1: docker.io/library/x:1: not found`, `building: there is no image docker.io/library/x:1, here or at its registry | check the name and the tag; linnet images lists what is here`},
		{`failed to solve: failed to write: no space left on device`, `building: failed to write: no space left on device | free some: linnet cache prune, linnet image prune; linnet engine status says what takes how much`},
		{`failed to solve: error from receiver: statat file: permission denied`, `building: writing the result: statat file: permission denied | the directory may be another user's, or the result has one that only root could fill; --output type=tar,dest=FILE keeps any`},
		{`failed to solve: failed to load cache key: unknown scheme git: not found`, `building: a git repository is needed, and the engine has no git | install git where the engine runs, then: linnet engine restart`},
		{`rpc error: code = Unavailable desc = error reading from server: EOF`, `building: the connection to BuildKit was lost | build again: what was done is cached; linnet engine logs buildkitd says what happened`},
		{`failed to solve: failed to push x: unexpected status from POST request: 401 Unauthorized`, `building: failed to push x: unexpected status from POST request: 401 Unauthorized | check the image's name; if the registry wants credentials: linnet login REGISTRY`},
	} {
		if got := shown(j.explain(t.Context(), errors.New(c.buildkit))); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.buildkit, got, c.want)
		}
	}
	at := errdefs.WithSource(errors.New("it is wrong"), &errdefs.Source{
		Info: &pb.SourceInfo{Filename: "Dockerfile"}, Ranges: []*pb.Range{{Start: &pb.Position{Line: 7}}},
	})
	if got := j.explain(t.Context(), at).Error(); got != "building: app/Dockerfile:7: it is wrong" {
		t.Error(got)
	}
}
