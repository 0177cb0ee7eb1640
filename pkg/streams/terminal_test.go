//go:build unix

package streams

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// terminal returns streams on a new pseudo terminal of 24 rows and 100 columns.
func terminal(t *testing.T, env map[string]string) (s *Streams, master, tty *os.File) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo terminal here: %v", err)
	}
	t.Cleanup(func() { master.Close(); tty.Close() })
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	return &Streams{In: tty, Out: tty, Err: tty, getenv: func(n string) string { return env[n] }}, master, tty
}

func TestATerminalIsRecognised(t *testing.T) {
	s, _, _ := terminal(t, nil)
	if !s.InTerminal() || !s.OutTerminal() || !s.ErrTerminal() {
		t.Error("a terminal was not recognised")
	}
	if w := s.Width(); w != 100 {
		t.Errorf("Width = %d, want 100", w)
	}
	if size, err := s.Size(); err != nil || size != (Size{Rows: 24, Cols: 100}) {
		t.Errorf("Size = %v, %v", size, err)
	}
}

func TestColorNeedsATerminalThatIsNotDumbAndNoObjection(t *testing.T) {
	for _, c := range []struct {
		env         map[string]string
		color, live bool
	}{
		{map[string]string{"TERM": "xterm"}, true, true},
		{map[string]string{}, true, true},
		{map[string]string{"TERM": "dumb"}, false, false},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false, true},
		{map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true, true},
	} {
		s, _, _ := terminal(t, c.env)
		if s.Color() != c.color || s.Live() != c.live {
			t.Errorf("with %v: Color %v, Live %v", c.env, s.Color(), s.Live())
		}
	}
}

func TestRawModeIsRestoredExactly(t *testing.T) {
	s, _, tty := terminal(t, nil)
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	restore, err := s.MakeRaw()
	if err != nil {
		t.Fatal(err)
	}
	if raw, _ := term.GetState(int(tty.Fd())); *raw == *before {
		t.Error("the terminal is not raw")
	}
	restore()
	restore()
	if after, _ := term.GetState(int(tty.Fd())); *after != *before {
		t.Errorf("restored to %+v, was %+v", after, before)
	}
}

func TestResizesDeliverTheNewSizeAndEndWithTheContext(t *testing.T) {
	s, master, _ := terminal(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	sizes := s.Resizes(ctx)
	want := Size{Rows: 50, Cols: 132}
	if err := pty.Setsize(master, &pty.Winsize{Rows: want.Rows, Cols: want.Cols}); err != nil {
		t.Fatal(err)
	}
	// The terminal is not this process's controlling one, so the kernel does not tell: we do.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-sizes:
		if got != want {
			t.Errorf("size %v, want %v", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no size arrived")
	}
	cancel()
	select {
	case _, open := <-sizes:
		if open {
			t.Error("a size arrived after the context ended")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the channel was not closed")
	}
}
