//go:build linux

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
)

// The labels in which nerdctl keeps how a container is checked and how it is (its pkg/labels and
// pkg/healthcheck), and the directory in which it keeps the answers.
const (
	healthLabel = "nerdctl/healthcheck"
	stateLabel  = "nerdctl/healthstate"
	dirLabel    = "nerdctl/state-dir"
)

// What Docker takes when a health check does not say.
const (
	checkInterval = 30 * time.Second
	checkTimeout  = 30 * time.Second
	startInterval = 5 * time.Second
)

// Bounds of health checks. One that hangs gives its place among those that run up after turn,
// so that it holds up no other; after its own timeout and answerMargin nerdctl hangs itself.
// cancelGrace is how long one may go on when its answer is not wanted any more.
const (
	minInterval  = 100 * time.Millisecond
	checksAtOnce = 4
	slotTime     = 2 * time.Second
	answerMargin = time.Minute
	cancelGrace  = 2 * time.Second
)

// healthCheck is when and for how long a container is checked.
type healthCheck struct {
	Test                                          []string
	Interval, Timeout, StartPeriod, StartInterval time.Duration
}

// checkOf reads a container's health check; ok is false if it has none.
func checkOf(labels map[string]string) (c healthCheck, ok bool) {
	if err := json.Unmarshal([]byte(labels[healthLabel]), &c); err != nil {
		return c, false
	}
	if len(c.Test) == 0 || c.Test[0] == "" || c.Test[0] == "NONE" {
		return c, false
	}
	for value, preset := range map[*time.Duration]time.Duration{
		&c.Interval: checkInterval, &c.Timeout: checkTimeout, &c.StartInterval: startInterval,
	} {
		if *value <= 0 {
			*value = preset
		}
	}
	c.Interval = max(c.Interval, minInterval)
	c.StartInterval = max(min(c.StartInterval, c.Interval), minInterval)
	return c, true
}

// pause is how long to wait for the next check of a container that has been up for so long:
// a container that is starting is checked more often.
func (c healthCheck) pause(up time.Duration, starting bool) time.Duration {
	if starting && up < c.StartPeriod {
		return c.StartInterval
	}
	return c.Interval
}

// What a container that is checked may be, besides unhealthy.
const (
	starting = "starting"
	healthy  = "healthy"
)

// healthState is nerdctl's account of how a container is.
type healthState struct {
	Status        string
	FailingStreak int
	InStartPeriod bool
}

// stateOf reads a container's state; one that was never checked is starting.
func stateOf(labels map[string]string) healthState {
	s := healthState{Status: starting}
	_ = json.Unmarshal([]byte(labels[stateLabel]), &s) // nerdctl writes it anew then
	return s
}

// resetStreak puts right what the pinned nerdctl gets wrong: it counts failures on after a check that
// succeeded, so that three in a year made a healthy container an unhealthy one.
// after is the state that a check has left; every failure that counts has changed the count.
func resetStreak(before, after healthState) (mended healthState, changed bool) {
	if after.Status != healthy || after.FailingStreak == 0 || after.FailingStreak != before.FailingStreak {
		return after, false
	}
	after.FailingStreak = 0
	return after, true
}

// target is a container of a namespace.
type target struct{ space, id string }

// records is where containers' labels are kept.
type records interface {
	labels(ctx context.Context, t target) (map[string]string, error)
	setLabel(ctx context.Context, t target, name, value string) error
}

// health checks containers on time: an interval after their start, and after the end of each
// check. Its methods are called by one goroutine, but for those of a watch.
type health struct {
	records records
	// probe runs one check, whose outcome nerdctl writes into the records.
	probe func(ctx context.Context, t target) error
	log   logrus.FieldLogger

	slots   chan struct{} // of the checks that run at once
	watches map[target]context.CancelFunc
	wg      sync.WaitGroup
}

func newHealth(r records, probe func(context.Context, target) error, log logrus.FieldLogger) *health {
	return &health{
		records: r, probe: probe, log: log,
		slots: make(chan struct{}, checksAtOnce), watches: map[target]context.CancelFunc{},
	}
}

// started watches a container that has just started, as if it had never run before.
func (h *health) started(ctx context.Context, t target) {
	h.forget(t)
	labels, err := h.records.labels(ctx, t)
	if err != nil {
		h.log.WithError(err).WithField("container", t.id).Debug("reading its health check")
		return // gone again
	}
	c, ok := checkOf(labels)
	if !ok {
		return
	}
	state := healthState{Status: starting, InStartPeriod: c.StartPeriod > 0}
	h.write(ctx, t, state)
	h.watch(ctx, t, watched{c, state, time.Now()})
}

// watched is what is known of a container when its checks begin.
type watched struct {
	healthCheck
	state healthState
	since time.Time // its start
}

// watch checks a container until it is forgotten or ctx ends.
func (h *health) watch(ctx context.Context, t target, w watched) {
	h.forget(t)
	ctx, h.watches[t] = context.WithCancel(ctx)
	h.wg.Go(func() { h.attend(ctx, t, w) })
}

// forget ends the checks of a container, if it has any.
func (h *health) forget(t target) {
	if end, ok := h.watches[t]; ok {
		end()
		delete(h.watches, t)
	}
}

// attend checks a container, time and again, until ctx ends.
func (h *health) attend(ctx context.Context, t target, w watched) {
	log := h.log.WithField("container", short(t.id))
	var said string // no trouble is told twice in a row
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.pause(time.Since(w.since), w.state.Status == starting)):
		}
		err := h.round(ctx, t, &w)
		if ctx.Err() != nil || errdefs.IsNotFound(err) || errors.Is(err, errNoCheck) {
			return
		}
		text := ""
		if err != nil {
			if text = err.Error(); text != said {
				log.WithError(err).Warn("checking its health")
			}
		}
		said = text
	}
}

var errNoCheck = errors.New("it has no health check any more")

// round checks a container once and brings what is known of it up to date.
func (h *health) round(ctx context.Context, t target, w *watched) error {
	labels, err := h.records.labels(ctx, t)
	if err != nil {
		return err
	}
	var ok bool
	if w.healthCheck, ok = checkOf(labels); !ok {
		return errNoCheck
	}
	before := stateOf(labels)
	checked := h.check(ctx, t, w.healthCheck)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if labels, err = h.records.labels(ctx, t); err != nil {
		return err
	}
	w.state = stateOf(labels)
	if checked != nil {
		return checked
	}
	if mended, changed := resetStreak(before, w.state); changed {
		h.write(ctx, t, mended)
	}
	return trimAnswers(labels[dirLabel])
}

// check runs one check when it is its turn. A check that runs when ctx ends may end by itself
// first: no process would end what it has started in the container.
func (h *health) check(ctx context.Context, t target, c healthCheck) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	leave := sync.OnceFunc(func() { <-h.slots })
	defer leave()
	defer time.AfterFunc(slotTime, leave).Stop()
	running, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), c.Timeout+answerMargin,
		fmt.Errorf("checking its health: no answer within %s", c.Timeout+answerMargin))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(cancelGrace, cancel) })()
	err := h.probe(running, t)
	if cause := context.Cause(running); err != nil && cause != nil {
		return cause
	}
	return err
}

func (h *health) write(ctx context.Context, t target, s healthState) {
	text, err := json.Marshal(s)
	if err == nil {
		err = h.records.setLabel(ctx, t, stateLabel, string(text))
	}
	if err != nil {
		h.log.WithError(err).WithField("container", short(t.id)).Debug("writing its health")
	}
}
