//go:build unix

package streams

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/term"
)

func TestAskReadsOneLine(t *testing.T) {
	s, master, _ := terminal(t, nil)
	if _, err := master.WriteString("robin\nthe rest\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"robin", "the rest"} {
		if got, err := s.Ask(t.Context(), "Username: ", false); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := master.WriteString("\x04"); err != nil { // Ctrl-D
		t.Fatal(err)
	}
	if got, err := s.Ask(t.Context(), "Username: ", false); err == nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAskHidesWhatIsTypedAndThenNoLonger(t *testing.T) {
	s, master, tty := terminal(t, nil)
	before := state(t, tty)
	typed := make(chan struct{})
	go func() {
		defer close(typed)
		waitForChange(t, tty, before)
		_, _ = master.WriteString("s3cret\n")
	}()
	got, err := s.Ask(t.Context(), "Password: ", true)
	<-typed
	if err != nil || got != "s3cret" {
		t.Fatalf("%q, %v", got, err)
	}
	if *state(t, tty) != *before {
		t.Error("the terminal is not as it was")
	}
	shown := make([]byte, 100)
	n, err := master.Read(shown)
	if err != nil || strings.Contains(string(shown[:n]), "s3cret") || !strings.Contains(string(shown[:n]), "Password: ") {
		t.Errorf("it shows %q, %v", shown[:n], err)
	}
}

// No user types blindly after Ctrl-C, nor after the end of what asked.
func TestAskPutsTheTerminalRightWhenEnded(t *testing.T) {
	for _, want := range []error{ErrInterrupted, context.Canceled} {
		s, _, tty := terminal(t, nil)
		before := state(t, tty)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			waitForChange(t, tty, before)
			if errors.Is(want, ErrInterrupted) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
			} else {
				cancel()
			}
		}()
		if _, err := s.Ask(ctx, "Password: ", true); !errors.Is(err, want) {
			t.Errorf("%v instead of %v", err, want)
		}
		if *state(t, tty) != *before {
			t.Error("the terminal is not as it was")
		}
		<-ended
		cancel()
	}
}

func TestAskNeedsATerminal(t *testing.T) {
	s, in, out, errs := Test()
	in.WriteString("robin\n")
	_, err := s.Ask(t.Context(), "Username: ", false)
	if !errors.Is(err, ErrNoTerminal) || err.Error() != "asking for username: not a terminal" || out.Len()+errs.Len() > 0 {
		t.Errorf("%v, %q", err, errs)
	}
}

func state(t *testing.T, tty *os.File) *term.State {
	t.Helper()
	st, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// waitForChange returns when the terminal is no longer in a state, or never may be.
func waitForChange(t *testing.T, tty *os.File, before *term.State) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-t.Context().Done():
			return
		case <-tick.C:
			if st, err := term.GetState(int(tty.Fd())); err != nil || *st != *before {
				return
			}
		}
	}
}
