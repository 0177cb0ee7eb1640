package dockerapi

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// failureHolds is for how long the answer is the same after the daemon could not be started: one command of a client makes several requests,
// and each would wait for another attempt.
const failureHolds = time.Second

// attempt is one call of Start.
type attempt struct {
	done  chan struct{} // closed when the call has returned; what follows is set by then
	err   error
	ended time.Time
}

// connect connects to the daemon, which it starts first when it does not run as far as is known. A daemon that ran and no longer accepts is
// started once more: it was just ending.
func (d *Door) connect(ctx, serving context.Context) (net.Conn, error) {
	for again := false; ; again = true {
		generation, err := d.started(ctx, serving)
		if err != nil {
			return nil, &statusError{http.StatusServiceUnavailable, err}
		}
		conn, err := d.config.Dial(ctx)
		if err == nil {
			return conn, nil
		}
		if again || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
			return nil, &statusError{http.StatusServiceUnavailable, err}
		}
		d.forget(generation)
	}
}

// started returns when the daemon runs. Of many callers one starts it; ctx ends the waiting alone. generation counts starts, for forget.
func (d *Door) started(ctx, serving context.Context) (generation int, err error) {
	for {
		d.mu.Lock()
		gate, current := d.suspending, d.attempt
		switch {
		case gate != nil:
		case d.running:
			defer d.mu.Unlock()
			return d.generation, nil
		case current == nil && d.failed != nil && d.now().Sub(d.failed.ended) < failureHolds:
			defer d.mu.Unlock()
			return 0, d.failed.err
		case current == nil:
			current = &attempt{done: make(chan struct{})}
			d.attempt = current
			go d.start(serving, current)
		}
		d.mu.Unlock()
		if gate == nil {
			gate = current.done
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		// An attempt that this caller has waited for is its answer, however long ago it ended by now.
		if current != nil && gate == current.done && current.err != nil {
			return 0, current.err
		}
	}
}

func (d *Door) start(serving context.Context, a *attempt) {
	err := d.config.Start(serving)
	d.mu.Lock()
	defer d.mu.Unlock()
	a.err, a.ended = err, d.now()
	d.attempt, d.failed, d.running = nil, nil, err == nil
	d.generation++
	if err != nil {
		d.failed = a
	}
	close(a.done)
}

// forget notes that the daemon of a generation no longer accepts. One that was started since may.
func (d *Door) forget(generation int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if generation == d.generation {
		d.running = false
	}
}

// Suspend stops the daemon by stop, unless the door has not been idle for so long. It reports whether it called stop, and returns its error.
// Requests that come meanwhile wait, and start the daemon again: none is lost. Open streams of events end with the daemon.
func (d *Door) Suspend(ctx context.Context, quiet time.Duration, stop func(context.Context) error) (called bool, err error) {
	d.mu.Lock()
	if d.inFlight > 0 || d.attempt != nil || d.suspending != nil || d.now().Sub(d.last) < quiet {
		d.mu.Unlock()
		return false, nil
	}
	gate := make(chan struct{})
	d.suspending = gate
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.suspending, d.running = nil, false
		close(gate)
	}()
	return true, stop(ctx)
}
