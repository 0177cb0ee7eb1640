// Package streams is the three standard streams of one linnet, and what the terminal behind
// them can do: whether there is one, how wide it is, whether it takes colours, raw mode.
//
// It exists so that nothing else reads os.Stdin or asks the kernel about a descriptor, and so
// that a test can hand in buffers. It must not know what is written, nor any command.
package streams

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// DefaultWidth is the number of columns that is assumed where there is no terminal to ask.
const DefaultWidth = 80

// ErrNoTerminal is what an operation on a terminal fails with where there is none.
var ErrNoTerminal = errors.New("not a terminal")

// Streams are the standard streams of one command. Nothing is asked of the system before a
// method needs the answer; a literal with only the three fields set is complete.
type Streams struct {
	In io.Reader
	// Out carries results and nothing else; Err carries everything else.
	Out, Err io.Writer

	// getenv looks a variable up; nil means os.Getenv.
	getenv func(string) string
	own    bool
}

// Size is a terminal's size in character cells.
type Size = struct{ Rows, Cols uint16 }

// System returns the streams of this process.
func System() *Streams {
	return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, own: true}
}

// Own reports whether these are this process's own, which a program that takes its place goes on with.
func (s *Streams) Own() bool { return s.own }

// Test returns streams that are the three buffers, with no terminal and an empty environment.
func Test() (s *Streams, in, out, err *bytes.Buffer) {
	in, out, err = new(bytes.Buffer), new(bytes.Buffer), new(bytes.Buffer)
	return &Streams{In: in, Out: out, Err: err, getenv: func(string) string { return "" }}, in, out, err
}

// InTerminal reports whether In is a terminal.
func (s *Streams) InTerminal() bool { return isTerminal(s.In) }

// OutTerminal reports whether Out is a terminal.
func (s *Streams) OutTerminal() bool { return isTerminal(s.Out) }

// ErrTerminal reports whether Err is a terminal.
func (s *Streams) ErrTerminal() bool { return isTerminal(s.Err) }

// Live reports whether a line on Err can be drawn over: it is a terminal that moves its cursor.
func (s *Streams) Live() bool { return s.ErrTerminal() && s.env("TERM") != "dumb" }

// Color reports whether what goes to Err may be coloured: a terminal, not a dumb one, and the
// user did not set NO_COLOR (https://no-color.org) to anything. Results on Out have no colours.
func (s *Streams) Color() bool { return s.env("NO_COLOR") == "" && s.Live() }

// UTF8 reports whether the locale shows more than ASCII, by the order of precedence of locale(7).
func (s *Streams) UTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := s.env(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

// Width is the number of columns of the terminal on Err, else of the one on Out, else
// DefaultWidth. It is asked anew each time, because windows are resized.
func (s *Streams) Width() int {
	for _, stream := range []any{s.Err, s.Out} {
		if size, err := sizeOf(stream); err == nil && size.Cols > 0 {
			return int(size.Cols)
		}
	}
	return DefaultWidth
}

// Size is the size of the terminal on Out, else on Err, else on In: the one that a command
// run in a terminal of its own has to fit. Without any it is ErrNoTerminal.
func (s *Streams) Size() (Size, error) {
	for _, stream := range []any{s.Out, s.Err, s.In} {
		if size, err := sizeOf(stream); err == nil {
			return size, nil
		}
	}
	return Size{}, ErrNoTerminal
}

// MakeRaw puts the terminal on In into raw mode: no echo, no line editing, no signals from
// keys. restore puts it back exactly as it was; calling it again does nothing. Where In is no
// terminal the error wraps ErrNoTerminal, and restore may still be called.
func (s *Streams) MakeRaw() (restore func(), err error) {
	fd, ok := descriptor(s.In)
	if !ok || !term.IsTerminal(fd) {
		return func() {}, fmt.Errorf("making standard input raw: %w", ErrNoTerminal)
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return func() {}, fmt.Errorf("making standard input raw: %w", err)
	}
	// A terminal that went away cannot be restored and needs none, so the error is dropped.
	var once sync.Once
	return func() { once.Do(func() { _ = term.Restore(fd, before) }) }, nil
}

func (s *Streams) env(name string) string {
	if s.getenv == nil {
		return os.Getenv(name)
	}
	return s.getenv(name)
}

func isTerminal(stream any) bool {
	fd, ok := descriptor(stream)
	return ok && term.IsTerminal(fd)
}

func sizeOf(stream any) (Size, error) {
	fd, ok := descriptor(stream)
	if !ok {
		return Size{}, ErrNoTerminal
	}
	cols, rows, err := term.GetSize(fd)
	if err != nil {
		return Size{}, err
	}
	return Size{Rows: uint16(rows), Cols: uint16(cols)}, nil
}

// descriptor returns the file descriptor behind a stream, when it has one: *os.File does, and
// so does what wraps one and passes Fd on.
func descriptor(stream any) (int, bool) {
	f, ok := stream.(interface{ Fd() uintptr })
	if !ok {
		return 0, false
	}
	if file, isFile := f.(*os.File); isFile && file == nil {
		return 0, false
	}
	return int(f.Fd()), true
}
