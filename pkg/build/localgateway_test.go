package build

import (
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// engineless is BuildKit's client without anyone behind it: what is not answered here panics.
type engineless struct {
	gateway.Client
	opts map[string]string
}

func (e engineless) BuildOpts() gateway.BuildOpts { return gateway.BuildOpts{Opts: e.opts} }

// A frontend that runs here takes the platform of the system that it runs on, which may be macOS, where it
// is not told another.
func TestAFrontendIsToldThePlatform(t *testing.T) {
	own := linux()
	for given, want := range map[string]string{"": "linux/" + own.Architecture, "linux/s390x": "linux/s390x"} {
		n := &localGateway{Client: engineless{opts: map[string]string{"platform": given}}, job: &job{}}
		if got := n.BuildOpts().Opts["platform"]; got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
	if got := (&frontendHost{&job{attrs: map[string]string{}}}).BuildOpts().Opts["platform"]; got != "linux/"+own.Architecture {
		t.Errorf("a question is about %q", got)
	}
	if got := (&localGateway{Client: engineless{}, job: &job{}}).without(noCache).BuildOpts().Opts["platform"]; got != "linux/"+own.Architecture {
		t.Errorf("a platform is %q", got)
	}
}

// Remarks belong to the step that has read the Dockerfile, and come while it goes on; it is shown once,
// however often the frontend runs.
func TestRemarksBelongToAStep(t *testing.T) {
	status := make(chan *client.SolveStatus, 9)
	n := &localGateway{Client: engineless{}, job: &job{}, status: status, log: &frontendLog{}}
	def := graph(t, llb.Local("dockerfile", llb.Differ(llb.DiffNone, false), llb.WithCustomName("reading")))
	step := digest.FromBytes(def.Def[0])
	for range 2 {
		n.show(def)
		if err := n.Warn(t.Context(), step, "a remark", gateway.WarnOpts{Level: 1}); err != nil {
			t.Fatal(err)
		}
		n.end()
	}
	close(status)
	var all []*client.SolveStatus
	for s := range status {
		all = append(all, s)
	}
	if len(all) != 2 || all[0].Vertexes[0].Name != "reading" || all[0].Vertexes[0].Completed != nil {
		t.Fatalf("it begins with %+v", all)
	}
	if last := all[1]; last.Vertexes[0].Digest != step || last.Vertexes[0].Completed == nil || len(last.Warnings) != 1 || string(last.Warnings[0].Short) != "a remark" {
		t.Errorf("it ends with %+v", last)
	}
}

// Only what is read here is answered here: a directory for steps is sent.
func TestWhichDirectoriesAreReadOnTheHost(t *testing.T) {
	dir := hosttest.Files(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	j, err := prepared(t, options.Host{Dir: dir}, options.Options{Context: "."})
	if err != nil {
		t.Fatal(err)
	}
	read := llb.Differ(llb.DiffNone, false)
	for name, c := range map[string]struct {
		of   llb.State
		here bool
	}{
		"read":            {llb.Local(localDockerfile, read), true},
		"sent":            {llb.Local(localContext), false},
		"unknown":         {llb.Local("other", read), false},
		"with a step":     {llb.Local(localContext, read).File(llb.Mkdir("/x", 0o755)), false},
		"an image":        {llb.Image("x"), false},
		"of no directory": {llb.Scratch(), false},
	} {
		dir, err := j.directory(graph(t, c.of))
		if err != nil || (dir != nil) != c.here {
			t.Errorf("%s: %v, %v", name, dir, err)
		}
	}
}
