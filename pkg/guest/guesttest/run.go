package guesttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// context ends when the test does, or when the step is overdue.
func (s *suite) context(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.deadline())
	t.Cleanup(cancel)
	return ctx
}

// sh is a shell that runs script with args as its positional parameters.
func (s *suite) sh(script string, args ...string) guest.Process {
	argv := append([]string{}, s.Shell...)
	argv = append(argv, "-c", script, "sh")
	return guest.Process{Argv: append(argv, args...)}
}

// run runs p to its end and returns its exit code and what it wrote. It fails the test
// when p did not run.
func (s *suite) run(t *testing.T, p guest.Process) (code int, stdout, stderr string) {
	t.Helper()
	x := s.start(t, p)
	return x.code(), x.out.String(), x.err.String()
}

// output runs a script that must succeed and returns its standard output.
func (s *suite) output(t *testing.T, script string, args ...string) string {
	t.Helper()
	code, out, stderr := s.run(t, s.sh(script, args...))
	if code != 0 {
		t.Fatalf("running %q %q: exit code %d, stderr %q", script, args, code, stderr)
	}
	return out
}

// acknowledged runs a script that has written all it has to say before it reads one more
// line: that comes when complete says so. The nerdctl that is pinned drops what it has not
// read of a container's output when that container ends; no guest can help that.
func (s *suite) acknowledged(t *testing.T, p guest.Process, complete func(stdout, stderr string) bool) (code int, stdout, stderr string) {
	t.Helper()
	ack, acknowledge := typist(t)
	if p.Stdin == nil {
		p.Stdin = ack
	} else {
		p.Stdin = io.MultiReader(p.Stdin, ack)
	}
	x := s.start(t, p)
	s.until(t, "everything is written", func() bool {
		select {
		case <-x.done:
			return true
		default:
			return complete(x.out.String(), x.err.String())
		}
	})
	select {
	case <-x.done: // no process reads the line
	default:
		go acknowledge("ack\n")
	}
	return x.code(), x.out.String(), x.err.String()
}

// running is a process that has been started.
type running struct {
	t        *testing.T
	deadline time.Duration
	out, err *output
	cancel   context.CancelFunc
	done     chan struct{}
	result   error // of Run; valid when done is closed
}

// start starts p with its output gathered, unless p has writers of its own.
func (s *suite) start(t *testing.T, p guest.Process) *running {
	t.Helper()
	if s.wrap != nil {
		p = s.wrap(t, p)
	}
	ctx, cancel := context.WithCancel(s.context(t))
	x := &running{
		t: t, deadline: s.deadline(), cancel: cancel, done: make(chan struct{}),
		out: newOutput(), err: newOutput(),
	}
	if p.Stdout == nil {
		p.Stdout = x.out
	}
	if p.Stderr == nil {
		p.Stderr = x.err
	}
	go func() {
		defer close(x.done)
		x.result = s.guest.Run(ctx, p)
	}()
	t.Cleanup(func() {
		cancel()
		_ = x.wait() // the test that started it has looked at its end
	})
	return x
}

// wait waits for the end of Run and returns its error.
func (x *running) wait() error {
	x.t.Helper()
	select {
	case <-x.done:
		return x.result
	case <-time.After(x.deadline + x.deadline/2):
		x.t.Fatalf("Run has not returned; stdout %q, stderr %q", x.out, x.err)
		return nil
	}
}

// code waits for the end of a process that runs to its end, and returns its exit code.
func (x *running) code() int {
	x.t.Helper()
	err := x.wait()
	if err == nil {
		return 0
	}
	code, ok := guest.ExitCode(err)
	if !ok {
		x.t.Fatalf("running: %v; stdout %q, stderr %q", err, x.out, x.err)
	}
	return code
}

// expect waits until the standard output holds text.
func (x *running) expect(text string) {
	x.t.Helper()
	overdue := time.After(x.deadline)
	for {
		got, changed := x.out.watch()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-changed:
		case <-x.done:
			if !strings.Contains(x.out.String(), text) {
				x.t.Fatalf("ended (%v) before it wrote %q; stdout %q, stderr %q", x.result, text, x.out, x.err)
			}
			return
		case <-overdue:
			x.t.Fatalf("waiting for %q; stdout %q, stderr %q", text, x.out, x.err)
		}
	}
}

// output is a writer whose contents can be waited for.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// watch returns the contents and a channel that is closed by the next write.
func (o *output) watch() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String(), o.changed
}

// until polls state until it holds, and fails the test with what when it never does.
func (s *suite) until(t *testing.T, what string, state func() bool) {
	t.Helper()
	overdue := time.After(s.deadline())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !state() {
		select {
		case <-tick.C:
		case <-overdue:
			t.Fatalf("waiting until %s", what)
		}
	}
}

// typist is a standard input that is written to while the process runs.
func typist(t *testing.T) (io.Reader, func(text string)) {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	return r, func(text string) {
		t.Helper()
		if _, err := io.WriteString(w, text); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("typing %q: %v", text, err)
		}
	}
}
