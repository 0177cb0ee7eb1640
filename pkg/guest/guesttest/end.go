package guesttest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

var endCases = []testCase{
	{"Signals", signals},
	{"SignalsKill", signalsKill},
	{"SignalsOnATerminal", signalsOnATerminal},
	{"SignalsClosed", signalsClosed},
	{"CancelledBefore", cancelledBefore},
	{"Cancelled", cancelled},
	{"CancelledOnATerminal", cancelledOnATerminal},
	{"CancelledStubborn", cancelledStubborn},
	{"CancelledTidiesUp", cancelledTidiesUp},
	{"Abandoned", abandoned},
}

// forwarded are the signals that a command line hands on.
var forwarded = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1}

func signals(t *testing.T, s *suite) {
	for name, sig := range forwarded {
		s.signalled(t, s.sh(waiting(name, "echo caught "+name)), sig, "caught "+name, 43)
	}
}

// signalled sends sig to p when that is ready, and checks how p took it.
func (s *suite) signalled(t *testing.T, p guest.Process, sig os.Signal, says string, want int) {
	t.Helper()
	ch := make(chan os.Signal, 1)
	p.Signals = ch
	x := s.start(t, p)
	x.expect("ready")
	ch <- sig
	if code := x.code(); code != want || !strings.Contains(x.out.String(), says) {
		t.Errorf("%v: exit code %d, want %d; output %q, stderr %q", sig, code, want, x.out, x.err)
	}
}

func signalsKill(t *testing.T, s *suite) {
	s.signalled(t, s.sh("echo ready; exec sleep 600"), syscall.SIGKILL, "", 137)
	s.signalled(t, s.sh("echo ready; exec sleep 600"), syscall.SIGTERM, "", 143)
}

func signalsOnATerminal(t *testing.T, s *suite) {
	p := s.sh(waiting("TERM", "echo caught TERM"))
	p.TTY = &guest.TTY{}
	s.signalled(t, p, syscall.SIGTERM, "caught TERM", 43)
}

func signalsClosed(t *testing.T, s *suite) {
	ch := make(chan os.Signal)
	close(ch)
	p := s.sh("echo fine; exit 5")
	p.Signals = ch
	if code, out, _ := s.run(t, p); code != 5 || out != "fine\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func cancelledBefore(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.guest.Run(ctx, s.sh("exit 0")); err == nil {
		t.Error("running under a context that has ended succeeded")
	}
}

// cancelled has a child that its shell does not pass anything on to.
func cancelled(t *testing.T, s *suite) {
	p := s.sh(`sleep 600 & echo "$$ $! ready"; wait`)
	s.endsWithContext(t, p, 143)
}

func cancelledOnATerminal(t *testing.T, s *suite) {
	p := s.sh(`sleep 600 & echo "$$ $! ready"; wait`)
	p.TTY = &guest.TTY{}
	s.endsWithContext(t, p, 143)
}

func cancelledStubborn(t *testing.T, s *suite) {
	p := s.sh(`trap '' TERM HUP INT; sleep 600 & echo "$$ $! ready"; wait`)
	s.endsWithContext(t, p, 137)
}

// endsWithContext cancels p when that has said its processes and that it is ready, and
// checks what Run returns and that nothing is left.
func (s *suite) endsWithContext(t *testing.T, p guest.Process, code int) {
	t.Helper()
	idle, _ := typist(t)
	p.Stdin = idle
	x := s.start(t, p)
	x.expect("ready")
	pids := strings.Fields(x.out.String())
	pids = pids[:len(pids)-1]
	x.cancel()
	err := x.wait()
	if got, ran := guest.ExitCode(err); !errors.Is(err, context.Canceled) && (!ran || got != code) {
		t.Errorf("Run returned %v; want the context's error or exit code %d", err, code)
	}
	for _, pid := range pids {
		s.until(t, "process "+pid+" has ended", func() bool { return !s.alive(t, pid) })
	}
}

// alive does not count a process that only waits to be collected by its parent.
func (s *suite) alive(t *testing.T, pid string) bool {
	t.Helper()
	code, _, _ := s.run(t, s.sh(`kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null`, pid))
	return code == 0
}

// cancelledTidiesUp gives the process the time between SIGTERM and SIGKILL.
func cancelledTidiesUp(t *testing.T, s *suite) {
	p := s.sh(waiting("TERM", "echo tidied; echo tidied >&2"))
	x := s.start(t, p)
	x.expect("ready")
	x.cancel()
	err := x.wait()
	if err == nil || !strings.Contains(x.out.String(), "tidied") || !strings.Contains(x.err.String(), "tidied") {
		t.Errorf("Run returned %v, stdout %q, stderr %q", err, x.out, x.err)
	}
}

// abandoned cleans up after a process that was ended, and only after that.
func abandoned(t *testing.T, s *suite) {
	dir := s.scratch(t)
	for end, want := range map[string]string{"exec sleep 600": "over there", "exit 3": ""} {
		log := filepath.Join(dir, "log")
		p := s.sh("echo ready; " + end)
		p.Dir, p.Env = s.visible(t, dir).Path, []string{"WHERE=over there"}
		p.OnCancel = s.sh(`printf %s "$WHERE" >log`).Argv
		x := s.start(t, p)
		x.expect("ready")
		if want != "" {
			x.cancel()
		}
		_ = x.wait() // what it returns is other cases' affair
		text, err := os.ReadFile(log)
		if string(text) != want || (err != nil) != (want == "") {
			t.Errorf("%s: afterwards there is %q, %v", end, text, err)
		}
		_ = os.Remove(log)
	}
}

// exitCode is -1 for an error that carries none.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if code, ok := guest.ExitCode(err); ok {
		return code
	}
	return -1
}
