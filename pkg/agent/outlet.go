package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

const (
	// outletQueue is how many messages an outlet holds for its writer, so that one output
	// that nobody reads does not hold up the other at once.
	outletQueue = 16
	// linger is the time that a writer has left when the command was cancelled.
	linger = time.Second
)

// outlet carries what a process wrote to one writer. A nil outlet drops everything.
type outlet struct {
	name   string
	to     io.Writer
	failed func() // called once when the writer fails
	queue  chan []byte
	done   chan struct{}
	stuck  bool  // the writer took nothing in its last moments
	err    error // of the writer; valid when done is closed
}

// newOutlet starts an outlet, which ends with finish, or with ctx.
func newOutlet(ctx context.Context, name string, to io.Writer, failed func()) *outlet {
	o := &outlet{name: name, to: to, failed: failed, queue: make(chan []byte, outletQueue), done: make(chan struct{})}
	go o.run(ctx)
	return o
}

func (o *outlet) run(ctx context.Context) {
	defer close(o.done)
	for {
		select {
		case p, ok := <-o.queue:
			if !ok {
				return
			}
			if o.err != nil {
				continue
			}
			if _, o.err = o.to.Write(p); o.err != nil {
				o.failed()
			}
		case <-ctx.Done():
			return
		}
	}
}

// take hands p over. The writer may take its time, unless ctx has ended.
func (o *outlet) take(ctx context.Context, p []byte) {
	if o == nil || o.stuck {
		return
	}
	select {
	case o.queue <- p:
		return
	case <-o.done:
		return
	case <-ctx.Done():
	}
	select {
	case o.queue <- p:
	case <-o.done:
	case <-time.After(linger):
		o.stuck = true
	}
}

// finish returns when the writer has everything.
func (o *outlet) finish(ctx context.Context) {
	if o == nil {
		return
	}
	close(o.queue)
	select {
	case <-o.done:
		return
	case <-ctx.Done():
	}
	select {
	case <-o.done:
	case <-time.After(linger):
	}
}

// failure is what went wrong with the writer. A reader that has gone is not worth an error:
// the process has been told in its own way.
func (o *outlet) failure() error {
	if o == nil {
		return nil
	}
	select {
	case <-o.done:
	default:
		return nil
	}
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) || errors.Is(o.err, io.ErrClosedPipe) {
		return nil
	}
	return fmt.Errorf("writing standard %s: %w", o.name, o.err)
}
