//go:build linux

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Bounds of the pause before a daemon that ended is started again: it doubles from the
// first to the last, and starts over once the daemon has lived for steadyAfter.
const (
	firstPause  = 100 * time.Millisecond
	lastPause   = 10 * time.Second
	steadyAfter = 30 * time.Second
)

// A daemon that ended so often in a row before it answered does not stay up, and one that
// runs for so long without an answer hangs: a client that waits for it is told.
const (
	maxFails    = 3
	answerLimit = 90 * time.Second
)

// daemon supervises one of the engine's processes: it starts it, or adopts the one that an
// earlier agent started; starts it again when it ends; and knows whether it answers.
type daemon struct {
	name   string
	argv   []string
	env    []string
	socket string
	others []string // further sockets that it makes
	logs   string
	log    logrus.FieldLogger
	needs  *daemon   // must answer before this one is started
	users  []*daemon // need this one: they cannot go on with another in its place
	// patient gives way to everything else while it comes up, unless a client waits for it.
	patient bool
	// before clears away what an earlier one left, once what is needed answers; may be nil.
	before func(ctx context.Context) error
	// prepare makes what it needs besides; it is not started when that fails. May be nil.
	prepare func(ctx context.Context) error
	// onDemand runs only while it is wanted: see wake and sleep.
	onDemand bool

	wanted atomic.Bool // a client has waited for it

	mu       sync.Mutex
	state    string // starting, running, waiting, stopping, stopped; guest.Asleep
	pid      int
	started  time.Time
	restarts int
	fails    int // ends in a row without having answered
	adopted  bool
	lastErr  error
	awake    bool          // always, unless it is on demand
	sleeping bool          // it is being put to sleep
	changed  chan struct{} // closed and replaced at every change of state
}

func newDaemon(name string, argv, env []string, l host.Layout, log logrus.FieldLogger) *daemon {
	return &daemon{
		name: name, argv: argv, env: env,
		socket: l.Socket(name), others: []string{l.Socket(name) + ".ttrpc", l.Socket(name + "-otel")}, logs: l.Log(name),
		log:   log.WithField("daemon", name),
		state: "stopped", awake: true, changed: make(chan struct{}),
	}
}

func (d *daemon) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// run keeps the daemon running until ctx ends; the process itself is left as it is then.
func (d *daemon) run(ctx context.Context) {
	var pause time.Duration
	if d.onDemand && runsDaemon(d.argv) {
		d.wake()
	}
	for d.awaited(ctx) {
		begun := time.Now()
		err := d.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if d.dozed(err) {
			pause = 0
			continue
		}
		pause = nextPause(pause, time.Since(begun))
		d.log.WithError(err).WithField("pause", pause).Warn("ended by itself; starting it again")
		d.set(func() { d.state, d.pid, d.lastErr = "waiting", 0, err; d.restarts++; d.fails++; d.adopted = false })
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// nextPause is the pause before a daemon that lived for so long is started again, after the
// one before the last start (0: there was none).
func nextPause(last, lived time.Duration) time.Duration {
	if last == 0 || lived > steadyAfter {
		return firstPause
	}
	return min(2*last, lastPause)
}

// once starts or adopts the process and returns when it has ended.
func (d *daemon) once(ctx context.Context) error {
	if p, ok := findDaemon(d.argv); ok {
		d.noteInstallation(p)
		return d.watch(ctx, p.PID, true, func() error {
			defer p.Close()
			p.Wait(-1)
			// A child of ours, when this agent is one that has replaced itself.
			_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
			return errors.New("ended (it was adopted, so its exit status is unknown)")
		})
	}
	if err := d.removeSockets(ctx); err != nil {
		return err
	}
	for _, user := range d.users {
		if err := user.end(time.Second); err != nil {
			return err
		}
	}
	if d.needs != nil {
		if err := waitSocket(ctx, d.needs.socket); err != nil {
			return err
		}
	}
	if d.before != nil {
		if err := d.before(ctx); err != nil {
			d.log.WithError(err).Warn("clearing away what the last one left")
		}
	}
	if d.prepare != nil {
		if err := d.prepare(ctx); err != nil {
			return err
		}
	}
	start := host.Daemon{Argv: d.argv, Env: d.env, Dir: "/", Log: d.logs}
	if d.patient && !d.wanted.Load() {
		start.Nice = patience
	}
	p, err := start.Start()
	if err != nil {
		return err
	}
	return d.watch(ctx, p.PID, false, p.Wait)
}

// noteInstallation tells whose program it is that goes on, when it is not this installation's.
func (d *daemon) noteInstallation(p host.Process) {
	if argv := host.CommandLine(p.PID); len(argv) > 0 && argv[0] != d.argv[0] {
		d.log.WithField("pid", p.PID).WithField("program", argv[0]).Info("adopting the one of another installation of linnet")
	}
}

// watch follows a process from now to its end, which wait waits for and explains.
func (d *daemon) watch(ctx context.Context, pid int, adopted bool, wait func() error) error {
	started := host.StartTime(pid) // before it can have been waited for
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	d.log.WithField("pid", pid).WithField("adopted", adopted).Info("watching")
	d.set(func() { d.state, d.pid, d.started, d.adopted = "starting", pid, started, adopted })
	answers := make(chan struct{})
	connecting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		if waitSocket(connecting, d.socket) == nil {
			close(answers)
		}
	}()
	for {
		select {
		case <-answers:
			d.log.WithField("pid", pid).Info("answers")
			d.set(func() { d.state, d.fails = "running", 0 })
			d.hurry()
			answers = nil
		case err := <-ended:
			if err == nil {
				err = errors.New("ended with exit status 0")
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// patience is the nice value of a patient daemon: about a tenth of a processor that others want.
const patience = 10

// hurry ends the patience of a daemon that is awaited, or that is there.
func (d *daemon) hurry() {
	d.wanted.Store(true)
	d.mu.Lock()
	pid := d.pid
	d.mu.Unlock()
	if !d.patient || pid == 0 {
		return
	}
	if err := host.Renice(pid, 0); err != nil {
		d.log.WithError(err).Debug("giving it its priority back")
	}
}

// ready waits until the daemon answers.
func (d *daemon) ready(ctx context.Context) error {
	d.hurry()
	d.wake()
	for {
		d.mu.Lock()
		state, changed, fails, lastErr, started := d.state, d.changed, d.fails, d.lastErr, d.started
		d.mu.Unlock()
		if state == "running" && host.Listens(d.socket) {
			return nil
		}
		if state == guest.Asleep {
			if lastErr != nil {
				return lastErr
			}
			d.wake() // it was put to sleep meanwhile
			continue
		}
		var taken *hint.Error
		if state == "waiting" && errors.As(lastErr, &taken) {
			return taken
		}
		if fails >= maxFails && state == "waiting" {
			return d.unwell("does not stay up: " + lastErr.Error())
		}
		if state == "starting" && time.Since(started) > answerLimit {
			return d.unwell("runs, and does not answer")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", d.name, ctx.Err())
		case <-time.After(50 * time.Millisecond): // a daemon killed a moment ago still counts as running
		}
	}
}

// unwell says what is wrong with the daemon, and what it said itself.
func (d *daemon) unwell(what string) error {
	return hint.With(fmt.Errorf("starting the engine: %s %s", d.name, what), "its last words: "+lastLine(d.logs)+" ("+d.logs+")")
}

// stop ends the process: SIGTERM, and SIGKILL after grace. run's context must have ended.
func (d *daemon) stop(ctx context.Context, grace time.Duration) error {
	if err := d.end(grace); err != nil {
		return err
	}
	d.set(func() { d.state, d.pid = "stopped", 0 })
	return d.removeSockets(ctx)
}

// end ends the process, if there is one.
func (d *daemon) end(grace time.Duration) error {
	if err := endDaemon(d.argv, grace); err != nil {
		return fmt.Errorf("stopping %s: %w", d.name, err)
	}
	return nil
}

// removeSockets removes what lies in the place of the sockets, once no process listens there: a
// socket that lives is a client's way to what this home keeps.
func (d *daemon) removeSockets(ctx context.Context) error {
	for _, socket := range append([]string{d.socket}, d.others...) {
		if err := waitDead(ctx, socket); err != nil {
			return err
		}
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a stale socket: %w", err)
		}
	}
	return nil
}

// waitSocket waits until a process accepts connections on a socket.
func waitSocket(ctx context.Context, path string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !host.Listens(path) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// lastLine is the last line of a log that is not empty.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// rotate keeps a log that a daemon appends to below size: its contents move to .1, .1 to
// .2, and so on, files in all with the log itself. The daemon keeps its open file, so the
// file is emptied rather than renamed. Nothing is moved when there is no room for the copy.
func rotate(path string, size int64, files int) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() < size {
		return nil //nolint:nilerr // no log yet: nothing to rotate
	}
	rotated := func(i int) string { return fmt.Sprintf("%s.%d", path, i) }
	next := path + ".next"
	if files > 1 {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("rotating %s: %w", path, err)
		}
		if err := host.WriteFile(next, text, 0o600); err != nil {
			return err
		}
	}
	for i := max(files, 1); os.Remove(rotated(i)) == nil; i++ { // what a larger setting kept
	}
	for i := files - 2; i >= 1; i-- {
		if err := os.Rename(rotated(i), rotated(i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotating %s: %w", path, err)
		}
	}
	if files > 1 {
		if err := os.Rename(next, rotated(1)); err != nil {
			return fmt.Errorf("rotating %s: %w", path, err)
		}
	}
	return os.Truncate(path, 0)
}
