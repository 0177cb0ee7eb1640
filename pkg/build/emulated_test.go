package build

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

func TestWhatAStepRunsOn(t *testing.T) {
	stage := func(string) string { return "target" }
	for name, want := range map[string]string{
		"[linux/arm64 2/3] RUN true":                     "arm64",
		"[linux/arm64 stage-1  2/10] RUN true":           "arm64",
		"[linux/amd64->arm64 build 2/3] RUN go build":    "amd64",
		"[linux/arm/v7 2/2] RUN true":                    "arm",
		"[2/3] RUN true":                                 "target",
		"[build 2/3] RUN true":                           "target",
		"[linux/arm64 2/3] COPY a b":                     "",
		"[internal] load metadata for docker.io/x:1":     "",
		"[linux/arm64 internal] load metadata for RUN x": "",
		"exporting to image":                             "",
	} {
		if got := runsOn(name, stage); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestWhatAStageRunsOn(t *testing.T) {
	const text = "ARG X=1\nFROM --platform=$BUILDPLATFORM scratch AS build\nFROM scratch\nFROM --platform=linux/s390x scratch AS other\n" +
		"FROM --platform=$TARGETPLATFORM scratch AS last\n"
	j := &job{file: localdir.Dockerfile{Text: []byte(text)}, options: options.Options{Platforms: []string{"linux/arm64/v8"}}}
	for stage, want := range map[string]string{"build": "", "stage-1": "arm64", "other": "s390x", "last": "arm64", "unheard": "arm64", "": "arm64", "stage-9": "arm64"} {
		if got := j.stageRuns()(stage); got != want {
			t.Errorf("%q: %q, want %q", stage, got, want)
		}
	}
	if got, want := j.platforms(), []string{"linux/arm64/v8", "linux/s390x"}; !slices.Equal(got, want) {
		t.Errorf("the platforms are %v", got)
	}
	j.file.Text = []byte("nonsense")
	if got := j.platforms(); !slices.Equal(got, []string{"linux/arm64/v8"}) {
		t.Errorf("the platforms are %v", got)
	}
	j.file.Text = nil
	if got := j.stageRuns()(""); got != "arm64" {
		t.Errorf("without a Dockerfile: %q", got)
	}
}

func TestAnEmulatedStepSaysSoOnce(t *testing.T) {
	now := time.Now()
	vertex := func(name string, change func(*client.Vertex)) *client.Vertex {
		v := &client.Vertex{Digest: digest.FromString(name), Name: name, Started: &now}
		change(v)
		return v
	}
	as := func(*client.Vertex) {}
	var got []string
	d := watch(func(s *client.SolveStatus) {
		for _, l := range s.Logs {
			for _, v := range s.Vertexes {
				if v.Digest == l.Vertex {
					got = append(got, v.Name+": "+string(l.Data))
				}
			}
		}
	})
	ch := make(chan *client.SolveStatus, 3)
	ch <- &client.SolveStatus{Vertexes: []*client.Vertex{
		vertex("[linux/arm64 2/5] RUN waits", func(v *client.Vertex) { v.Started = nil }),
		vertex("[linux/arm64 3/5] RUN is cached", func(v *client.Vertex) { v.Cached = true }),
		vertex("[linux/amd64 3/5] RUN natively", as),
	}}
	ch <- &client.SolveStatus{Vertexes: []*client.Vertex{vertex("[linux/arm64 4/5] RUN first", as)}}
	ch <- &client.SolveStatus{Vertexes: []*client.Vertex{vertex("[linux/arm64 5/5] RUN second", as), vertex("[linux/s390x 2/2] RUN third", as)}}
	close(ch)
	j := &job{}
	j.tellEmulated(d, map[string]string{"arm64": "emulating arm64", "s390x": "emulating s390x"}).show(t.Context(), ch)
	if want := []string{"[linux/arm64 4/5] RUN first: emulating arm64\n", "[linux/s390x 2/2] RUN third: emulating s390x\n"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAStepThatCannotRunSaysWhy(t *testing.T) {
	foreign := &hint.Error{Err: errors.New("emulating linux/arm64: emulation is disabled"), Fix: "linnet emulation enable"}
	failed := errors.New("building: Dockerfile:3: process \"/p\" did not complete successfully: exit code: 255")
	err := withMissing(failed, foreign)
	var hinted *hint.Error
	want := failed.Error() + " (emulating linux/arm64: emulation is disabled)"
	if err.Error() != want || !errors.As(err, &hinted) || hinted.Fix != "linnet emulation enable" || !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	other := errors.New("building: Dockerfile:3: process \"/p\" did not complete successfully: exit code: 1")
	if got := withMissing(other, foreign); !errors.Is(got, other) || got.Error() != other.Error() {
		t.Errorf("got %v", got)
	}
	if got := withMissing(failed, nil); got.Error() != failed.Error() {
		t.Errorf("got %v", got)
	}
}
