// Package forward makes a nerdctl command line true in a Guest and runs it there: what the
// line names on this side is localized, carried over or brought back, and the exit code
// comes back as it is.
//
// It must not know which guest it has, nor anything of single commands: what a flag means
// stands in package nerdctl.
package forward

import (
	"context"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// Options are one command line and where it runs.
type Options struct {
	Guest      guest.Guest
	Invocation *nerdctl.Invocation
	Streams    *streams.Streams
	// Environ is the environment of this side, as os.Environ gives it.
	Environ []string
	// Done is called before the command takes the terminal.
	Done func()
}

// Run makes the guest ready and runs the command line in it.
func Run(ctx context.Context, o Options) error {
	if err := o.Guest.Ready(ctx); err != nil {
		return err
	}
	o.Done()
	return Process(ctx, o.Guest, o.Streams, guest.Process{Argv: append([]string{"nerdctl"}, o.Invocation.Argv()...)})
}
