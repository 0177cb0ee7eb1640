package sharedimages

import (
	"context"
	"errors"
	"fmt"
	"time"

	_ "github.com/containerd/containerd/api/events" // what Envelope.Field reads
	"github.com/containerd/containerd/v2/core/events"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

// Run keeps the records the same until ctx ends, whose error it returns. It outlives containerd's restarts, and says in the log
// what it could not do; that is tried again. Only one keeper may run for a memory.
func (k *Keeper) Run(ctx context.Context) error {
	r := k.reconciler()
	var pause time.Duration
	for ctx.Err() == nil {
		begun := time.Now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		level := logrus.DebugLevel // it is said once, for as long as containerd is away
		if pause == 0 || time.Since(begun) > r.times.retry {
			pause, level = 0, logrus.InfoLevel
		}
		pause = min(max(2*pause, r.times.retry/4), r.times.retryLimit/12)
		k.Log.WithError(err).WithField("pause", pause).Log(level, "following containerd's images, to share them, again")
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return ctx.Err()
}

// reconciler is the keeper with what it remembers.
func (k *Keeper) reconciler() *reconciler {
	own := *k
	if own.times == (times{}) {
		own.times = defaultTimes
	}
	m, err := loadMemory(own.Memory, own.Sides)
	if err != nil {
		own.Log.WithError(err).Warn("images that one side removed meanwhile come back")
	}
	return &reconciler{
		Keeper: &own, memory: m, due: queue{},
		vanished: map[string]time.Time{}, failures: map[string]int{}, partial: map[string]digest.Digest{},
	}
}

// follow follows containerd until it is gone, or ctx ends.
func (r *reconciler) follow(ctx context.Context) error {
	connected, cancel := context.WithCancel(ctx)
	defer cancel()
	happened, failed := r.Client.Subscribe(connected, r.filters()...)
	if err := r.list(ctx); err != nil {
		return err
	}
	defer r.save()
	relist := time.NewTimer(r.times.relist)
	defer relist.Stop()
	saved := time.Now()
	for {
		wait, some := r.due.wait()
		if idle := !some || wait > 0; idle || time.Since(saved) > r.times.save {
			r.save()
			saved = time.Now()
		}
		var next <-chan time.Time
		if some {
			next = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-happened:
			r.note(event)
		case err := <-failed:
			if err == nil {
				err = errors.New("containerd's events ended")
			}
			return err
		case <-relist.C:
			if err := r.list(ctx); err != nil {
				return err
			}
			relist.Reset(r.times.interval)
		case <-next:
			if name, ok := r.due.next(); ok {
				r.handle(ctx, name)
			}
		}
	}
}

// filters are those of the events of images in both namespaces.
func (r *reconciler) filters() (all []string) {
	for _, side := range r.Sides {
		all = append(all, fmt.Sprintf(`namespace==%q,topic~="^/images/(create|update|delete)$"`, side))
	}
	return all
}

// note has the image of an event looked at, before those that are only listed.
func (r *reconciler) note(event *events.Envelope) {
	if event == nil {
		return // the stream is at its end, of which failed tells
	}
	name, ok := event.Field([]string{"event", "name"})
	if !ok {
		r.Log.WithField("topic", event.Topic).Warn("an event of containerd's is not understood")
		return
	}
	if isShared(name) {
		r.due.add(name, time.Time{})
	}
}

func (r *reconciler) save() {
	if err := r.memory.save(r.Sides); err != nil {
		r.Log.WithError(err).Warn("images that one side removes while the engine is stopped will come back")
	}
}

// queue has the names that are to be looked at, each once, with the time at which.
type queue map[string]time.Time

// add has a name looked at at a time, or earlier if it was to be already.
func (q queue) add(name string, at time.Time) {
	if earlier, queued := q[name]; !queued || at.Before(earlier) {
		q[name] = at
	}
}

// first is the name that is looked at first.
func (q queue) first() (first string, some bool) {
	for name, at := range q {
		if !some || at.Before(q[first]) || at.Equal(q[first]) && name < first {
			first, some = name, true
		}
	}
	return first, some
}

// wait is for how long nothing is to be looked at; some is false when nothing is at all.
func (q queue) wait() (wait time.Duration, some bool) {
	first, some := q.first()
	if !some {
		return 0, false
	}
	return max(0, time.Until(q[first])), true
}

// next takes the name that is to be looked at now.
func (q queue) next() (name string, ok bool) {
	name, some := q.first()
	if !some || time.Until(q[name]) > 0 {
		return "", false
	}
	delete(q, name)
	return name, true
}
