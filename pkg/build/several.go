package build

import (
	"context"
	"strings"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

// Several shows builds that run at once as one. of makes the display of one build, whose steps
// are then called by the build's name; end waits until all is shown, and has to be called after
// the last build. What a build that was called off still says after that is not shown.
func (d Display) Several(ctx context.Context) (of func(name string) Display, end func()) {
	all, shown := make(chan *client.SolveStatus), make(chan *client.SolveStatus)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		d.show(context.WithoutCancel(ctx), shown)
	}()
	go func() {
		defer close(shown)
		for {
			select {
			case s := <-all:
				shown <- s
			case <-stop:
				return
			}
		}
	}()
	of = func(name string) Display {
		return watch(func(s *client.SolveStatus) {
			select {
			case all <- named(name, s):
			case <-stop:
			}
		})
	}
	return of, func() {
		close(stop)
		<-ended
	}
}

// named is a state in which steps are those of one build: two builds may share a step, and each
// shows it as its own.
func named(name string, s *client.SolveStatus) *client.SolveStatus {
	own := func(d digest.Digest) digest.Digest { return digest.FromString(name + "\x00" + string(d)) }
	out := &client.SolveStatus{}
	for _, v := range s.Vertexes {
		c := *v
		c.Digest, c.Name = own(v.Digest), stepOf(name, v.Name)
		c.Inputs = nil
		for _, in := range v.Inputs {
			c.Inputs = append(c.Inputs, own(in))
		}
		out.Vertexes = append(out.Vertexes, &c)
	}
	for _, v := range s.Statuses {
		c := *v
		c.Vertex = own(v.Vertex)
		out.Statuses = append(out.Statuses, &c)
	}
	for _, v := range s.Logs {
		c := *v
		c.Vertex = own(v.Vertex)
		out.Logs = append(out.Logs, &c)
	}
	for _, v := range s.Warnings {
		c := *v
		c.Vertex = own(v.Vertex)
		out.Warnings = append(out.Warnings, &c)
	}
	return out
}

// stepOf puts a build's name into a step's: [2/3] RUN becomes [web 2/3] RUN.
func stepOf(name, step string) string {
	if rest, ok := strings.CutPrefix(step, "["); ok {
		return "[" + name + " " + strings.TrimLeft(rest, " ")
	}
	return "[" + name + "] " + step
}
