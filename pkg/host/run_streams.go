package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const (
	// linger bounds the wait for readers and writers that cannot be woken.
	linger = time.Second
	// pipeMax is the most that a pipe holds unless root has raised fs.pipe-max-size; no
	// more than that can have been written by a process that has ended.
	pipeMax = 1 << 20
)

func (r *process) openPipes() error {
	// A session, not only a group: without a terminal, /dev/tty fails instead of stopping it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if f, ok := direct(r.Stdin); ok {
		r.cmd.Stdin = f
	} else if r.Stdin != nil {
		theirs, ours, err := r.pipe()
		if err != nil {
			return err
		}
		r.own(theirs, ours)
		r.cmd.Stdin, r.stdin = theirs, ours
	}
	var err error
	if r.cmd.Stdout, err = r.outPipe("output", r.Stdout); err != nil {
		return err
	}
	if r.Stderr != nil && SameWriter(r.Stdout, r.Stderr) {
		r.cmd.Stderr = r.cmd.Stdout
		return nil
	}
	r.cmd.Stderr, err = r.outPipe("error", r.Stderr)
	return err
}

func (r *process) pipe() (read, write *os.File, err error) {
	read, write, err = os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	return read, write, nil
}

func (r *process) own(theirs, ours *os.File) {
	r.theirs, r.ours = append(r.theirs, theirs), append(r.ours, ours)
}

// outPipe returns what the process is given so that w takes what it writes.
func (r *process) outPipe(name string, w io.Writer) (io.Writer, error) {
	if w == nil {
		return nil, nil
	}
	if f, ok := direct(w); ok {
		return f, nil
	}
	ours, theirs, err := r.pipe()
	if err != nil {
		return nil, err
	}
	r.own(theirs, ours)
	r.outlets = append(r.outlets, &outlet{name: name, from: ours, to: w, done: make(chan struct{})})
	return theirs, nil
}

// direct reports whether a stream is a file that the process can be handed as it is. A
// terminal is not: the process stands outside its session. A
// file in non-blocking mode is not: few programs expect that.
func direct(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	if !ok || f == nil {
		return nil, false
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, false
	}
	err = conn.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		ok = err == nil && flags&unix.O_NONBLOCK == 0 && !term.IsTerminal(int(fd))
	})
	return f, ok && err == nil
}

// SameWriter compares two writers whose types may not be comparable.
func SameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// openTerminal makes the terminal. Its near side is opened so that a blocked read can be
// woken; where the system cannot do that for terminals (darwin), reads are bounded by linger.
func (r *process) openTerminal() error {
	master, slave, err := pty.Open()
	if err != nil {
		return fmt.Errorf("opening a terminal: %w", err)
	}
	r.theirs = append(r.theirs, slave)
	if runtime.GOOS == "linux" {
		if master, err = pollable(master); err != nil {
			return fmt.Errorf("opening a terminal: %w", err)
		}
	}
	r.ours, r.master = append(r.ours, master), master
	r.resize(r.Terminal.Size)
	name := r.Terminal.Term
	if name == "" {
		name = "xterm"
	}
	r.cmd.Env = append(r.cmd.Env, "TERM="+name)
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = slave, slave, slave
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	to := r.Stdout
	if to == nil {
		to = io.Discard
	}
	r.outlets = []*outlet{{name: "output", from: master, to: to, done: make(chan struct{})}}
	if r.Stdin != nil {
		r.stdin = master
	}
	return nil
}

// pollable trades f for a file of the same terminal that Go's poller watches.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		if err = unix.SetNonblock(fd, true); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (r *process) resize(s Size) {
	onFD(r.master, func(fd int) {
		_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Cols})
	})
}

// onFD lets do use f's descriptor without changing its mode, as f.Fd would.
func onFD(f *os.File, do func(fd int)) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { do(int(fd)) })
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// endOfInput is what a terminal's user types to end the input (VEOF).
const endOfInput = "\x04"

// feed copies Stdin to the process. A process that no longer reads is no error; a Stdin
// that breaks is one, because the process takes it for the end of its input.
func (r *process) feed() {
	to := &sink{f: r.stdin, lineStart: true}
	_, err := io.Copy(to, r.Stdin)
	if err != nil && !to.failed {
		err = fmt.Errorf("reading standard input: %w", err)
		r.stdinErr.Store(&err)
	}
	if r.stdin != r.master {
		_ = r.stdin.Close()
		return
	}
	// A terminal has no end of its own. Typed after a partial line, the first one only
	// hands that line over.
	if !to.lineStart {
		_, _ = io.WriteString(r.stdin, endOfInput)
	}
	_, _ = io.WriteString(r.stdin, endOfInput)
}

// sink is a file that remembers whether writing to it failed, and where in a line it is.
type sink struct {
	f                 *os.File
	failed, lineStart bool
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.failed = err != nil
	if n > 0 {
		s.lineStart = p[n-1] == '\n' || p[n-1] == '\r'
	}
	return n, err
}

// outlet carries what the process writes from a pipe or a terminal to a writer.
type outlet struct {
	name string
	from *os.File
	to   io.Writer
	done chan struct{}
	err  error // of the writer; valid when done is closed
}

// run copies until the pipe ends or finish wakes it. A writer that fails closes the pipe,
// so that the process meets SIGPIPE, or SIGHUP on a terminal, as if it had written there.
func (o *outlet) run() {
	defer close(o.done)
	if left, ok := o.to.(Leaver); ok {
		go o.follow(left)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := o.from.Read(buf)
		if !o.write(buf[:n]) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.drain(buf)
			return
		}
		if err != nil {
			return
		}
	}
}

// Leaver is a writer whose reader may leave: Left is closed then. The process that writes
// there meets SIGPIPE with its next write, as it would with a pipe of its own.
type Leaver interface{ Left() <-chan struct{} }

func (o *outlet) follow(l Leaver) {
	select {
	case <-l.Left():
		_ = o.from.Close()
	case <-o.done:
	}
}

func (o *outlet) write(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if _, err := o.to.Write(p); err != nil {
		o.err = err
		_ = o.from.Close()
		return false
	}
	return true
}

// drain delivers what is in the pipe now, and never waits: a process that still holds its other
// end is a background process that was left behind.
func (o *outlet) drain(buf []byte) {
	if o.from.SetReadDeadline(time.Time{}) != nil {
		return
	}
	conn, err := o.from.SyscallConn()
	if err != nil {
		return
	}
	for total := 0; total < pipeMax; {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			for {
				if n, err = unix.Read(int(fd), buf); !errors.Is(err, unix.EINTR) {
					return true
				}
			}
		})
		if err != nil || n <= 0 || !o.write(buf[:n]) {
			return
		}
		total += n
	}
}

// finish returns when everything that the ended process wrote is delivered. The writer may
// take its time, unless ctx has ended.
func (o *outlet) finish(ctx context.Context) {
	woken := o.from.SetReadDeadline(time.Unix(1, 0))
	if woken == nil || errors.Is(woken, os.ErrClosed) {
		select {
		case <-o.done:
			return
		case <-ctx.Done():
		}
	}
	select {
	case <-o.done:
	case <-time.After(linger):
	}
}

// failure is what went wrong with the writer. A reader that has gone is not worth an error:
// the process has been told in its own way.
func (o *outlet) failure() error {
	select {
	case <-o.done:
	default:
		return nil
	}
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) || errors.Is(o.err, io.ErrClosedPipe) {
		return nil
	}
	return fmt.Errorf("writing standard %s: %w", o.name, o.err)
}
