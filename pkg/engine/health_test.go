//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/errdefs"
	"github.com/sirupsen/logrus"
	"google.golang.org/protobuf/types/known/anypb"
)

func TestCheckOf(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		label string
		want  string // "" is none
	}{
		{``, ""},
		{`{`, ""},
		{`{}`, ""},
		{`{"Test":["NONE"]}`, ""},
		{`{"Test":[""]}`, ""},
		{`{"Interval":1000000000}`, ""},
		{`{"Test":["CMD-SHELL","x"]}`, fmt.Sprint(30*s, 30*s, 0*s, 5*s)},
		{`{"Test":["CMD","x"],"Interval":1000000000,"Timeout":2000000000,"Retries":1,"StartPeriod":3000000000}`, fmt.Sprint(s, 2*s, 3*s, s)},
		{`{"Test":["x"],"Interval":60000000000,"StartPeriod":9000000000,"StartInterval":2000000000}`, fmt.Sprint(60*s, 30*s, 9*s, 2*s)},
		{`{"Test":["x"],"Interval":1,"Timeout":-1}`, fmt.Sprint(minInterval, 30*s, 0*s, minInterval)},
	} {
		got := ""
		if check, ok := checkOf(map[string]string{healthLabel: c.label}); ok {
			got = fmt.Sprint(check.Interval, check.Timeout, check.StartPeriod, check.StartInterval)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.label, got, c.want)
		}
	}
}

func TestMend(t *testing.T) {
	state := func(status string, streak int) healthState { return healthState{Status: status, FailingStreak: streak} }
	for _, c := range []struct {
		what          string
		before, after healthState
		want          int
	}{
		{"a success after a failure", state(healthy, 1), state(healthy, 1), 0},
		{"a success", state(healthy, 0), state(healthy, 0), 0},
		{"a failure", state(healthy, 0), state(healthy, 1), 1},
		{"another failure", state(healthy, 1), state(healthy, 2), 2},
		{"the last failure", state(healthy, 2), state("unhealthy", 3), 3},
		{"one more", state("unhealthy", 3), state("unhealthy", 4), 4},
		{"the start period", state(starting, 0), state(starting, 0), 0},
	} {
		got, changed := resetStreak(c.before, c.after)
		if got.FailingStreak != c.want || got.Status != c.after.Status || changed != (got != c.after) {
			t.Errorf("%s: %v, %v", c.what, got, changed)
		}
	}
}

// ward is a place with containers whose checks are watched.
type ward struct {
	*health
	mu     sync.Mutex
	kept   map[target]map[string]string
	checks map[target][]string // when each check began, since the start
	begun  time.Time
	answer func(ctx context.Context, t target) error
	away   atomic.Bool // containerd does not answer for the labels
}

func newWard() *ward {
	w := &ward{kept: map[target]map[string]string{}, checks: map[target][]string{}, begun: time.Now()}
	log := logrus.New()
	log.SetOutput(io.Discard)
	w.health = newHealth(w, func(ctx context.Context, t target) error {
		w.mu.Lock()
		w.checks[t] = append(w.checks[t], time.Since(w.begun).String())
		w.mu.Unlock()
		if w.answer != nil {
			return w.answer(ctx, t)
		}
		return nil
	}, log)
	return w
}

func (w *ward) labels(_ context.Context, t target) (map[string]string, error) {
	if w.away.Load() {
		return nil, errors.New("connection refused")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	labels, ok := w.kept[t]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return maps.Clone(labels), nil
}

func (w *ward) setLabel(_ context.Context, t target, name, value string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[t][name] = value
	return nil
}

func (w *ward) add(id, check string) target {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := target{"default", id}
	w.kept[t] = map[string]string{healthLabel: check}
	return t
}

func (w *ward) times(t target) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.checks[t], " ")
}

// The first check comes an interval after the start, each other one an interval after the end of the one
// before; while a container starts up, the shorter interval counts.
func TestChecksAreOnTime(t *testing.T) {
	for _, c := range []struct {
		what, label, want string
		lasts             time.Duration
		healthyAt         int // the check that succeeds first
	}{
		{"an interval", `{"Test":["x"],"Interval":10000000000}`, "10s 20s 30s 40s 50s 1m0s", 0, 1},
		{"after the end", `{"Test":["x"],"Interval":10000000000}`, "10s 23s 36s 49s", 3 * time.Second, 1},
		{"a start period", `{"Test":["x"],"Interval":20000000000,"StartPeriod":40000000000}`, "5s 10s 15s 35s 55s", 0, 3},
		{"a start period that is too short", `{"Test":["x"],"Interval":20000000000,"StartPeriod":10000000000}`, "5s 10s 30s 50s", 0, 9},
		{"a start interval", `{"Test":["x"],"Interval":20000000000,"StartPeriod":40000000000,"StartInterval":8000000000}`, "8s 16s 36s 56s", 0, 2},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWard()
				ctx, cancel := context.WithCancel(t.Context())
				app, count := w.add("app", c.label), 0
				w.answer = func(ctx context.Context, at target) error {
					pass(c.lasts)
					if count++; count == c.healthyAt {
						return w.setLabel(ctx, at, stateLabel, `{"Status":"healthy"}`)
					}
					return nil
				}
				w.started(ctx, app)
				pass(60*time.Second + time.Millisecond)
				if got := w.times(app); got != c.want {
					t.Errorf("checked at %s, want %s", got, c.want)
				}
				cancel()
				w.wg.Wait()
			})
		})
	}
}

func TestAStartBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		ctx, cancel := context.WithCancel(t.Context())
		app := w.add("app", `{"Test":["x"],"Interval":10000000000}`)
		plain := w.add("plain", "")
		w.kept[app][stateLabel] = `{"Status":"unhealthy","FailingStreak":7}`
		for range 2 {
			w.started(ctx, app)
			w.started(ctx, plain)
			w.started(ctx, target{"default", "gone"})
			pass(6 * time.Second)
		}
		pass(6 * time.Second)
		if got := w.times(app); got != "16s" {
			t.Errorf("checked at %s", got)
		}
		if got, want := w.kept[app][stateLabel], `{"Status":"starting","FailingStreak":0,"InStartPeriod":false}`; got != want {
			t.Errorf("its state is %s, want %s", got, want)
		}
		if len(w.watches) != 1 || len(w.kept[plain]) != 1 {
			t.Errorf("%d are watched; the container without a check has %v", len(w.watches), w.kept[plain])
		}
		cancel()
		w.wg.Wait()
	})
}

// More checks hang than may run at once: the others are late by some turns at most. One that hangs is
// ended in the end, and its container checked again.
func TestAStuckCheckHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		ctx, cancel := context.WithCancel(t.Context())
		w.answer = func(ctx context.Context, t target) error {
			if t.id != "good" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		for i := range 2 * checksAtOnce {
			w.started(ctx, w.add(fmt.Sprint("stuck", i), `{"Test":["x"],"Interval":1000000000,"Timeout":1000000000}`))
		}
		good := w.add("good", `{"Test":["x"],"Interval":3000000000}`)
		w.started(ctx, good)
		pass(60*time.Second + time.Millisecond)
		if n := len(strings.Fields(w.times(good))); n < 18 {
			t.Errorf("checked %d times in 60 s: %s", n, w.times(good))
		}
		pass(10 * time.Second)
		for i := range 2 * checksAtOnce {
			if got := w.times(target{"default", fmt.Sprint("stuck", i)}); len(strings.Fields(got)) != 2 {
				t.Errorf("container %d is checked at %s", i, got)
			}
		}
		cancel()
		w.wg.Wait()
	})
}

func TestNoCheckAfterItsContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		var ended string
		w.answer = func(ctx context.Context, at target) error {
			if at.id == "stuck" {
				<-ctx.Done()
				ended = time.Since(w.begun).String()
			}
			return ctx.Err()
		}
		const check = `{"Test":["x"],"Interval":4000000000}`
		stopped, removed, stuck := w.add("stopped", check), w.add("removed", check), w.add("stuck", check)
		for _, at := range []target{stopped, removed, stuck} {
			w.started(t.Context(), at)
		}
		pass(5 * time.Second)
		w.forget(stopped)
		w.forget(stuck)
		w.mu.Lock()
		delete(w.kept, removed)
		w.mu.Unlock()
		w.wg.Wait() // all of them end
		for _, at := range []target{stopped, removed, stuck} {
			if got := w.times(at); got != "4s" {
				t.Errorf("%s is checked at %s", at.id, got)
			}
		}
		if ended != "7s" { // after its last words
			t.Errorf("the one that was stuck ended at %s", ended)
		}
	})
}

// Without containerd nothing is run in vain; with it all goes on.
func TestChecksOutliveContainerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		ctx, cancel := context.WithCancel(t.Context())
		app := w.add("app", `{"Test":["x"],"Interval":10000000000}`)
		w.started(ctx, app)
		pass(11 * time.Second)
		w.away.Store(true)
		pass(20 * time.Second)
		w.away.Store(false)
		pass(20 * time.Second)
		if got := w.times(app); got != "10s 40s 50s" {
			t.Errorf("checked at %s", got)
		}
		cancel()
		w.wg.Wait()
	})
}

// Events arrive as they are on the wire, of types that must be known here.
func TestEventsBeginAndEndChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard()
		app := w.add("app", `{"Test":["x"]}`)
		f := follower{health: w.health, log: w.log}
		happens := func(topic, name, value string) {
			f.apply(t.Context(), &events.Envelope{
				Namespace: "default", Topic: topic, Event: &anypb.Any{TypeUrl: "containerd.events." + name, Value: []byte(value)},
			})
		}
		const container, process, exec = "\x0a\x03app", "\x12\x03app", "\x12\x04exec" // fields 1 and 2
		for _, c := range []struct {
			topic, name, value string
			watched            bool
		}{
			{taskStarted, "TaskStart", container, true},
			{taskExited, "TaskExit", container + exec, true},
			{taskExited, "TaskExit", container + process, false},
			{taskStarted, "TaskStart", container, true},
			{taskPaused, "TaskPaused", container, false},
			{taskStarted, "TaskStart", container, true},
			{taskDeleted, "TaskDelete", container, false},
		} {
			happens(c.topic, c.name, c.value)
			if got := w.watches[app] != nil; got != c.watched {
				t.Errorf("after %s: watched is %v", c.name, got)
			}
		}
		w.wg.Wait()
	})
}

func TestTrimAnswers(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(trimAnswers(""), trimAnswers(dir)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, answersFile)
	line := func(i, size int) string { return fmt.Sprintf("{%d %s}\n", i, strings.Repeat("x", size)) }
	for _, c := range []struct {
		lines, size, want int
	}{
		{100, 10, 100},
		{100, 10_000, answersKept},
		{5, 100_000, 5},
		{6, 100_000, answersKept},
		{1, 1 << 20, 1},
	} {
		var text strings.Builder
		for i := range c.lines {
			text.WriteString(line(i, c.size))
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := trimAnswers(dir); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := slices.Collect(strings.Lines(string(got)))
		if len(lines) != c.want || lines[len(lines)-1] != line(c.lines-1, c.size) {
			t.Errorf("%d lines of %d: %d are left", c.lines, c.size, len(lines))
		}
	}
}

// pass lets time pass on a test's own clock.
func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // no clock really runs

// nerdctl takes a directory for systemd, and a link to one not.
func TestWhoseHealthChecksTheyAre(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, ".system"), filepath.Join(dir, "system")
	if hasTimers(real) {
		t.Error("timers without systemd")
	}
	if err := errors.Join(os.Mkdir(real, 0o755), os.Symlink(".system", link)); err != nil {
		t.Fatal(err)
	}
	if !hasTimers(real) || hasTimers(link) {
		t.Errorf("a directory: %v, a link: %v", hasTimers(real), hasTimers(link))
	}
}
