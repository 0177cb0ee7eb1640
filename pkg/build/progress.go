package build

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Display is how a build is shown while it runs.
type Display struct {
	show func(context.Context, chan *client.SolveStatus) []client.VertexWarning
}

// Displays are the ways to show a build.
var displays = []string{"auto", "tty", "plain", "rawjson", "quiet", "none"}

// NewDisplay shows a build on out, which is a terminal where mode is tty; auto takes tty there
// and plain elsewhere.
func NewDisplay(out io.Writer, mode string) (Display, error) {
	switch mode {
	case "none":
		mode = "quiet"
	case "json": // linnet's name for it elsewhere
		mode = "rawjson"
	}
	if !slices.Contains(displays, mode) {
		return Display{}, &hint.Error{Err: fmt.Errorf("--progress: there is no way %q to show progress", mode), Fix: "one of " + strings.Join(displays, ", ")}
	}
	if mode == "auto" {
		mode = "tty"
		if _, err := progressui.NewDisplay(out, progressui.TtyMode); err != nil {
			mode = "plain"
		}
	}
	d, err := progressui.NewDisplay(out, progressui.DisplayMode(mode), progressui.WithPhase("building"))
	if err != nil {
		return Display{}, &hint.Error{Err: fmt.Errorf("--progress %s: standard error is not a terminal", mode), Fix: "--progress plain"}
	}
	show := Display{show: func(ctx context.Context, ch chan *client.SolveStatus) []client.VertexWarning {
		// What still comes in when the build is called off is shown as well: its last words.
		warnings, _ := d.UpdateFrom(context.WithoutCancel(ctx), ch)
		return warnings
	}}
	if mode == "rawjson" {
		return show, nil // for programs, as it is
	}
	return Display{show: func(ctx context.Context, ch chan *client.SolveStatus) []client.VertexWarning {
		c := &cleaner{drawing: mode == "tty"}
		return show.through(c.clean).show(ctx, ch)
	}}, nil
}

// through is a display of what change has changed.
func (d Display) through(change func(*client.SolveStatus)) Display {
	return Display{show: func(ctx context.Context, in chan *client.SolveStatus) []client.VertexWarning {
		out := make(chan *client.SolveStatus)
		go func() {
			defer close(out)
			for s := range in {
				change(s)
				out <- s
			}
		}()
		return d.show(ctx, out)
	}}
}

// watch hands each state of a build to a function.
func watch(see func(*client.SolveStatus)) Display {
	return Display{show: func(_ context.Context, ch chan *client.SolveStatus) (warnings []client.VertexWarning) {
		for s := range ch {
			see(s)
			for _, w := range s.Warnings {
				warnings = append(warnings, *w)
			}
		}
		return warnings
	}}
}
