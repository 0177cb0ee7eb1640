package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// outletRoom is how many bytes an outlet holds for its writer, in at most outletQueue messages, so that one output
	// that is not read does not hold up the other at once.
	outletRoom  = 512 << 10
	outletQueue = 512
	// linger is the time that a writer has left when the command was cancelled.
	linger = time.Second
)

// outlet carries what a process wrote to one writer. A nil outlet drops everything.
type outlet struct {
	name   string
	to     io.Writer
	failed func() // called once when the writer fails
	queue  chan []byte
	room   *semaphore.Weighted // bytes that may still come into the queue
	done   chan struct{}
	stuck  bool  // the writer took nothing in its last moments
	err    error // of the writer; valid when done is closed
}

// newOutlet starts an outlet, which ends with finish, or with ctx.
func newOutlet(ctx context.Context, name string, to io.Writer, failed func()) *outlet {
	o := &outlet{name: name, to: to, failed: failed, queue: make(chan []byte, outletQueue), done: make(chan struct{})}
	o.room = semaphore.NewWeighted(outletRoom)
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
			if o.err == nil {
				if _, o.err = o.to.Write(p); o.err != nil {
					o.failed()
				}
			}
			o.room.Release(weight(p))
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
	if o.room.TryAcquire(weight(p)) {
		select {
		case o.queue <- p:
			return
		default:
			o.room.Release(weight(p))
		}
	}
	if o.put(ctx, p) {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), linger)
	defer cancel()
	o.stuck = !o.put(last, p)
}

// put hands p over within ctx, and reports whether it did; a writer that has ended takes everything.
func (o *outlet) put(ctx context.Context, p []byte) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-o.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if o.room.Acquire(ctx, weight(p)) == nil {
		select {
		case o.queue <- p:
			return true
		case <-ctx.Done():
			o.room.Release(weight(p))
		}
	}
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// weight is what a message takes of the room; one that is larger than all of it has the room to itself.
func weight(p []byte) int64 { return int64(min(len(p), outletRoom)) }

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
