//go:build e2e && linux

package docker_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/creack/pty"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// terminal is a program on a terminal of its own, and what it has shown.
type terminal struct {
	*os.File

	cmd  *exec.Cmd
	done chan struct{} // closed when the terminal's other end is
	mu   sync.Mutex
	seen bytes.Buffer
}

func open(t *testing.T, cmd *exec.Cmd, rows, columns uint16) *terminal {
	t.Helper()
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{File: file, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(term.done)
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			term.mu.Lock()
			term.seen.Write(buffer[:n])
			term.mu.Unlock()
			if err != nil { // EIO: no process has it any more
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // ended, where all is well
		<-term.done
		file.Close()
	})
	return term
}

// types writes a line.
func (term *terminal) types(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(term, line); err != nil {
		t.Fatal(err)
	}
}

// shows waits until something is seen.
func (term *terminal) shows(t *testing.T, text string) {
	t.Helper()
	lab.Eventually(t, text, func() bool {
		term.mu.Lock()
		defer term.mu.Unlock()
		return strings.Contains(term.seen.String(), text)
	})
}

// A terminal has the size of the client's from its first moment, and follows it; the client goes by the keys and the container stays.
func TestTerminal(t *testing.T) {
	c := sharedClient(t)
	t.Cleanup(func() { c.remove(t, "terminal") })
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	term := open(t, c.inTerminal(ctx, "run", "-it", "--name", "terminal", image, "sh"), 31, 101)
	term.shows(t, "# ")
	term.types(t, "stty size; tty\n")
	term.shows(t, "31 101\r\n/dev/pts/0")
	if err := pty.Setsize(term.File, &pty.Winsize{Rows: 17, Cols: 71}); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the new size in the container", func() bool {
		return c.must(t, "exec", "terminal", "sh", "-c", "stty size </dev/pts/0") == "17 71"
	})
	term.types(t, "\x10\x11") // the keys of a detach
	if err := term.cmd.Wait(); err != nil {
		t.Errorf("after a detach: %v", err)
	}
	again := open(t, c.inTerminal(ctx, "attach", "terminal"), 17, 71)
	again.types(t, "echo $((6*7)); exit 5\n")
	again.shows(t, "42\r\n")
	if err := again.cmd.Wait(); err == nil || again.cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("the end: %v", err)
	}
}

// An exec in a terminal, and a Ctrl-C that is the container's.
func TestTerminalOfAnExec(t *testing.T) {
	c := sharedClient(t)
	t.Cleanup(func() { c.remove(t, "texec") })
	c.must(t, "run", "-d", "--name", "texec", image, "sleep", "1000")
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	term := open(t, c.inTerminal(ctx, "exec", "-it", "texec", "sh", "-c", "trap 'echo caught; exit 8' INT; echo ready; while :; do sleep 0.1; done"), 24, 80)
	term.shows(t, "ready")
	term.types(t, "\x03")
	term.shows(t, "caught")
	if err := term.cmd.Wait(); err == nil || term.cmd.ProcessState.ExitCode() != 8 {
		t.Errorf("the end: %v", err)
	}
}
