package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// ErrInterrupted is what Ask returns when the user has pressed Ctrl-C.
var ErrInterrupted = errors.New("interrupted")

// Ask writes a prompt on Err and reads a line from the terminal on In; hidden, nothing that is
// typed is shown. Where In is no terminal the error wraps ErrNoTerminal. However it ends, the
// terminal shows again what is typed.
func (s *Streams) Ask(ctx context.Context, prompt string, hidden bool) (string, error) {
	fd, ok := descriptor(s.In)
	if !ok || !term.IsTerminal(fd) {
		return "", fmt.Errorf("asking for %s: %w", strings.ToLower(strings.TrimRight(prompt, ": ")), ErrNoTerminal)
	}
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	fmt.Fprint(s.Err, prompt)
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		if hidden {
			text, err := term.ReadPassword(fd)
			done <- read{string(text), err}
			return
		}
		line, err := readLine(s.In)
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		if hidden {
			fmt.Fprintln(s.Err)
		}
		return r.line, r.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-signals:
		err = ErrInterrupted
	}
	// The read is left behind; the process ends soon.
	_ = term.Restore(fd, before)
	fmt.Fprintln(s.Err)
	return "", err
}

// readLine reads no byte more than the line: the next question has the rest.
func readLine(in io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := in.Read(one)
		if n > 0 && one[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, one[:n]...)
		if err != nil {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = nil
			}
			return string(line), err
		}
	}
}
