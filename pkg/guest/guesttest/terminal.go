package guesttest

import (
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

var terminalCases = []testCase{
	{"Terminal", terminal},
	{"TerminalDefaults", terminalDefaults},
	{"TerminalResize", terminalResize},
	{"TerminalInterrupt", terminalInterrupt},
	{"TerminalRaw", terminalRaw},
	{"TerminalExitCode", terminalExitCode},
}

// waiting is a script that runs on trap when signal comes, and otherwise waits. The shell's
// own wait is what every shell lets a trap interrupt. The sleep dies by SIGKILL, because it
// has the shell's own traps for a moment after it is forked.
func waiting(signal, trap string) string {
	return "trap '" + trap + "; kill -s KILL $!; exit 43' " + signal + "; sleep 600 & echo ready; wait $!; exit 44"
}

func terminal(t *testing.T, s *suite) {
	p := s.sh(`for fd in 0 1 2; do test -t $fd && echo tty $fd; done; echo "TERM=$TERM"; stty size; echo err >&2; read -r l; echo "got $l"`)
	p.TTY = &guest.TTY{Term: "xterm-256color", Size: guest.Size{Rows: 33, Cols: 177}}
	in, typed := typist(t)
	p.Stdin = in
	x := s.start(t, p)
	x.expect("err\r\n")
	typed("a line\r")
	if code := x.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	want := "tty 0\r\ntty 1\r\ntty 2\r\nTERM=xterm-256color\r\n33 177\r\nerr\r\na line\r\ngot a line\r\n"
	if x.out.String() != want {
		t.Errorf("the terminal showed\n%q, want\n%q", x.out, want)
	}
	if x.err.String() != "" {
		t.Errorf("stderr, with a terminal: %q", x.err)
	}
}

func terminalDefaults(t *testing.T, s *suite) {
	p := s.sh(`echo "TERM=$TERM"`)
	p.TTY = &guest.TTY{}
	if code, out, _ := s.run(t, p); code != 0 || out != "TERM=xterm\r\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func terminalResize(t *testing.T, s *suite) {
	sizes := make(chan guest.Size)
	p := s.sh(`trap 'stty size' WINCH; stty size; while :; do sleep 600 & wait $!; kill -s KILL $!; done`)
	p.TTY = &guest.TTY{Size: guest.Size{Rows: 24, Cols: 80}, Resize: sizes}
	x := s.start(t, p)
	x.expect("24 80\r\n")
	for _, c := range []struct {
		size guest.Size
		want string
	}{{guest.Size{Rows: 50, Cols: 132}, "\n50 132\r\n"}, {guest.Size{Rows: 1, Cols: 1000}, "\n1 1000\r\n"}} {
		select {
		case sizes <- c.size:
		case <-x.done:
			t.Fatalf("ended: %v, %q", x.result, x.out)
		case <-s.context(t).Done():
			t.Fatal("the process does not see the new size")
		}
		x.expect(c.want)
	}
	close(sizes)
	x.cancel()
	_ = x.wait()
}

// terminalInterrupt types what a terminal in raw mode on the host hands on for ctrl-C.
func terminalInterrupt(t *testing.T, s *suite) {
	p := s.sh(waiting("INT", "echo interrupted"))
	p.TTY = &guest.TTY{}
	in, typed := typist(t)
	p.Stdin = in
	x := s.start(t, p)
	x.expect("ready\r\n")
	typed("\x03")
	if code := x.code(); code != 43 || !strings.Contains(x.out.String(), "interrupted\r\n") {
		t.Errorf("ctrl-C: exit code %d, output %q", code, x.out)
	}
}

func terminalRaw(t *testing.T, s *suite) {
	var every strings.Builder
	for i := range 256 {
		every.WriteByte(byte(i))
	}
	p := s.sh("stty raw -echo; echo ready; head -c 256; stty sane")
	p.TTY = &guest.TTY{}
	in, typed := typist(t)
	p.Stdin = in
	x := s.start(t, p)
	x.expect("ready\n")
	typed(every.String())
	if code := x.code(); code != 0 || x.out.String() != "ready\n"+every.String() {
		t.Errorf("exit code %d, output %q", code, x.out)
	}
}

func terminalExitCode(t *testing.T, s *suite) {
	for script, want := range map[string]int{"exit 0": 0, "exit 126": 126, "kill -s KILL $$": 137} {
		p := s.sh("echo last words; " + script)
		p.TTY = &guest.TTY{}
		if code, out, _ := s.run(t, p); code != want || out != "last words\r\n" {
			t.Errorf("%s: exit code %d, output %q", script, code, out)
		}
	}
}
