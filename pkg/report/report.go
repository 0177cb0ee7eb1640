// Package report tells the user what linnet is waiting for: progress as events (a step starts,
// has a note, ends), drawn in place on a terminal, as lines, as JSON, or not at all.
//
// It exists so that the code that does the work says what it does once, and never how that looks. It
// must not know what the work is, and prints neither results (they go to standard output) nor
// errors (the one place that ends the command does): a step that fails says only which one.
package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Format is the way in which progress is shown.
type Format string

// The formats. Auto is a wish, never what Choose returns.
const (
	Auto     Format = "auto"
	Terminal Format = "tty"
	Plain    Format = "plain"
	JSON     Format = "json"
	Quiet    Format = "quiet"
)

// Formats is what a user can ask for, in the order in which help lists it.
func Formats() []string {
	return []string{string(Auto), string(Terminal), string(Plain), string(JSON), string(Quiet)}
}

// Choose returns the format for what the user asked for ("" is auto), whether the stream is a
// terminal whose lines can be drawn over, and whether the user asked for quiet, which wins.
// Off a terminal, tty becomes plain. An unknown format is an error that lists the known ones.
func Choose(asked string, terminal, quiet bool) (Format, error) {
	chosen := Format(asked)
	switch chosen {
	case "", Auto, Terminal:
		chosen = Plain
		if terminal {
			chosen = Terminal
		}
	case Plain, JSON, Quiet:
	default:
		return Quiet, fmt.Errorf("choosing a progress format: %q is not one of %s", asked, strings.Join(Formats(), ", "))
	}
	if quiet {
		chosen = Quiet
	}
	return chosen, nil
}

// Options say where and how a Reporter shows its events.
type Options struct {
	// Err is where everything goes: standard error.
	Err io.Writer
	// Format is one that Choose returned.
	Format Format
	// Width returns the terminal's present number of columns; nil means 80. Only the
	// terminal format asks, and only when it draws.
	Width func() int
	// Color and UTF8 say what the terminal takes beyond plain ASCII.
	Color, UTF8 bool
}

// Reporter takes the progress of one command. It is safe for concurrent use. A nil Reporter
// reports nothing, and one that is given no step prints nothing and starts nothing.
type Reporter struct {
	options Options

	mu     sync.Mutex
	show   renderer // made by the first step; nil until then and after Close
	last   int      // the id of the newest step
	closed bool
}

// renderer shows events. Its methods are called one at a time, under the Reporter's lock.
type renderer interface {
	event(e event)
	// log writes text of another program without damaging what is shown.
	log(text []byte) error
	// close takes away what is not meant to stay.
	close()
}

// kind is what an event says happened to a step.
type kind string

const (
	started kind = "start"
	noted   kind = "note"
	done    kind = "done"
	failed  kind = "fail"
)

// event is one thing that happened to one step.
type event struct {
	kind kind
	step *Step
	at   time.Time
	err  error
}

// New returns a Reporter. It costs nothing until its first step.
func New(o Options) *Reporter { return &Reporter{options: o} }

// Step says that a step has begun. Its name is what linnet does now, as a gerund in lower
// case: "starting the engine". Steps may overlap. Each has to end with Done or Fail.
func (r *Reporter) Step(name string) *Step {
	s := &Step{reporter: r, name: CleanLine(name), began: time.Now()}
	if r == nil || r.options.Format == Quiet || r.options.Err == nil {
		s.reporter = nil
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		s.reporter = nil
		return s
	}
	if r.show == nil {
		r.show = r.renderer()
	}
	r.last++
	s.id = r.last
	r.show.event(event{kind: started, step: s, at: s.began})
	return s
}

// Writer returns a writer for other text that goes to the same stream while steps may be
// under way (log lines, warnings). Each Write should be whole lines. It is not silenced by
// Quiet: the writer decides whether to. With the JSON format each line becomes an event.
func (r *Reporter) Writer() io.Writer { return logWriter{r} }

// Close takes the live line away and stops what draws it; steps that still run are not shown
// any more. It must be called before the process ends or is replaced by another program.
func (r *Reporter) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	show := r.show
	r.show, r.closed = nil, true
	if show != nil {
		show.close()
	}
	r.mu.Unlock()
	// Outside the lock, which the goroutine that draws needs to come to its end.
	if t, ok := show.(*terminal); ok {
		t.wait()
	}
}

func (r *Reporter) renderer() renderer {
	switch r.options.Format {
	case Terminal:
		return newTerminal(r.options, &r.mu)
	case JSON:
		return &jsonLines{w: r.options.Err}
	default:
		return &plain{w: r.options.Err}
	}
}

// Step is something linnet does that the user may have to wait for. Its methods are safe for
// concurrent use, do nothing on a nil Step, and nothing after the step has ended; so
// `defer step.Done()` is right next to a Fail.
type Step struct {
	reporter *Reporter // nil when nothing is shown
	id       int
	name     string
	began    time.Time

	// Under the reporter's lock:
	note  string
	ended bool
}

// Note says what the step is at now, or is waiting for; it replaces the note before.
func (s *Step) Note(text string) { s.emit(noted, CleanLine(text), nil) }

// Done says that the step succeeded.
func (s *Step) Done() { s.emit(done, "", nil) }

// Fail says that the step failed. The error itself is shown by the JSON format only: the
// caller returns it, and it is printed once, where the command ends.
func (s *Step) Fail(err error) { s.emit(failed, "", err) }

func (s *Step) emit(k kind, note string, err error) {
	if s == nil || s.reporter == nil {
		return
	}
	r := s.reporter
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.ended || r.show == nil {
		return
	}
	if k == noted {
		if note == s.note {
			return
		}
		s.note = note
	}
	s.ended = k == done || k == failed
	r.show.event(event{kind: k, step: s, at: time.Now(), err: err})
}

// logWriter is Reporter.Writer.
type logWriter struct{ r *Reporter }

func (l logWriter) Write(p []byte) (int, error) {
	if l.r == nil || l.r.options.Err == nil {
		return len(p), nil
	}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	var err error
	switch {
	case l.r.show != nil:
		err = l.r.show.log(p)
	case l.r.options.Format == JSON:
		err = (&jsonLines{w: l.r.options.Err}).log(p)
	default:
		_, err = l.r.options.Err.Write(p)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// elapsed prints a duration as a person reads it: "0.4s", "12.3s", "2m05s".
func elapsed(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", max(d, 0).Truncate(100*time.Millisecond).Seconds())
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
