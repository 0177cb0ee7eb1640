//go:build linux

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// wake has the daemon started, if it is not awake. It does not wait.
func (d *daemon) wake() {
	d.mu.Lock()
	awake := d.awake
	d.mu.Unlock()
	if awake {
		return
	}
	d.set(func() {
		d.awake = true
		if d.state == guest.Asleep {
			d.state, d.started, d.fails, d.lastErr = "starting", time.Now(), 0, nil
		}
	})
}

// isAwake reports whether the daemon is wanted.
func (d *daemon) isAwake() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.awake
}

// awaited waits until the daemon is wanted; it returns false when ctx has ended.
func (d *daemon) awaited(ctx context.Context) bool {
	for ctx.Err() == nil {
		d.mu.Lock()
		awake, changed := d.awake, d.changed
		d.mu.Unlock()
		if awake {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// sleep ends a daemon that is on demand: SIGTERM, and SIGKILL after grace. The next client that wants it has it started again, this
// one's end included.
func (d *daemon) sleep(grace time.Duration) error {
	d.set(func() { d.awake, d.sleeping, d.state = false, true, "stopping" })
	return d.end(grace)
}

// dozed decides, once the process has ended with err, whether the daemon is asleep now, or was meanwhile, so that its end is no failure.
// One that is on demand is not tried again for ever, either: what is wrong stays its last error, and the next client has it tried again.
func (d *daemon) dozed(err error) (dozed bool) {
	var refused *hint.Error
	d.set(func() {
		asleep := func(why error) {
			d.state, d.pid, d.started, d.lastErr = guest.Asleep, 0, time.Time{}, why
			d.awake, d.adopted, dozed = false, false, true
		}
		switch {
		case d.sleeping && d.awake: // a client came while it was being stopped
			d.state, d.pid, d.started, dozed = "starting", 0, time.Now(), true
		case d.sleeping:
			asleep(nil)
		case !d.onDemand:
		case errors.As(err, &refused):
			asleep(err)
		case d.fails+1 >= maxFails:
			asleep(d.unwell("does not stay up: " + err.Error()))
		}
		d.sleeping = false
	})
	return dozed
}
