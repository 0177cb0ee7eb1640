package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/report"
)

const (
	// logMost is how much of a log's end is shown, in bytes, tailMost how much is searched for a number
	// of lines: how large a log or a console is, a guest chooses.
	logMost  = 32 << 20
	tailMost = 4 << 20
	// lineMost is the longest line that is held until its end comes, in bytes.
	lineMost = 64 << 10
)

// showLogs prints logs, each line behind its log's name when there are several, and follows
// them until ctx ends or the user interrupts. Those in a guest that does not run are left out.
func showLogs(ctx context.Context, e *engine, w io.Writer, terminal bool, logs []guest.Log, tail int, follow bool) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	out := &lockedWriter{w: w}
	var near []*logReader
	var far sync.WaitGroup
	errs := make([]error, len(logs)+1)
	for i, l := range logs {
		prefix := ""
		if len(logs) > 1 {
			prefix = l.Name + " | "
		}
		lines := &lineWriter{w: out, prefix: prefix, terminal: terminal}
		if !l.InGuest {
			near = append(near, &logReader{log: l, out: lines})
		} else if e.Running(ctx) {
			far.Go(func() { errs[i] = farLog(ctx, e, l.Path, lines, tail, follow) })
		}
	}
	errs[len(logs)] = nearLogs(ctx, near, tail, follow)
	far.Wait()
	return errors.Join(errs...)
}

// farLog reads a log in the guest with the guest's own tail.
func farLog(ctx context.Context, e *engine, path string, w *lineWriter, tail int, follow bool) error {
	from := "+1"
	if tail >= 0 {
		from = strconv.Itoa(tail)
	}
	argv := []string{"tail", "-n", from}
	if follow {
		argv = append(argv, "-F")
	}
	var stderr bytes.Buffer
	err := e.Run(ctx, guest.Process{Argv: append(argv, path), Stdout: w, Stderr: guest.Limit(&stderr, lineMost)})
	if _, failed := guest.ExitCode(err); failed && stderr.Len() > 0 {
		return fmt.Errorf("reading the log: %s", bytes.TrimSpace(stderr.Bytes()))
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // interrupted: that is how following ends
	}
	return err
}

// nearLogs reads logs on this host.
func nearLogs(ctx context.Context, readers []*logReader, tail int, follow bool) error {
	for _, r := range readers {
		if err := r.first(tail); err != nil {
			return err
		}
	}
	if !follow || len(readers) == 0 {
		return nil
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, r := range readers {
				if err := r.next(); err != nil {
					return err
				}
			}
		}
	}
}

// logReader reads a log file that grows and is emptied now and then.
type logReader struct {
	log    guest.Log
	out    io.Writer
	offset int64
}

func (r *logReader) first(tail int) error {
	most := int64(logMost)
	if tail >= 0 {
		most = tailMost
	}
	info, err := os.Stat(r.log.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	r.offset = max(info.Size()-most, 0)
	if tail < 0 {
		if r.offset > 0 {
			fmt.Fprintf(r.out, "[the last %d MiB of %s]\n", most>>20, r.log.Path)
		}
		return r.next()
	}
	text, err := host.ReadTail(r.log.Path, most)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	r.offset += int64(len(text))
	_, err = r.out.Write(lastLines(text, tail))
	return err
}

func (r *logReader) next() error {
	f, err := os.Open(r.log.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < r.offset {
		r.offset = 0 // rotated
	}
	n, err := io.Copy(r.out, io.NewSectionReader(f, r.offset, logMost))
	r.offset += n
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	return nil
}

// lineWriter writes whole lines, each behind a prefix.
type lineWriter struct {
	w      io.Writer
	prefix string
	// terminal says that w is one: colors are taken out, and what else would steer it is shown.
	terminal bool
	rest     []byte // the beginning of a line whose end is not there yet
}

// colors are the sequences of ECMA-48 that choose one, which consoles are full of.
var colors = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func (l *lineWriter) Write(p []byte) (int, error) {
	text := append(l.rest, p...)
	for {
		line, after, ok := bytes.Cut(text, []byte("\n"))
		if !ok && len(text) <= lineMost {
			l.rest = append([]byte(nil), text...)
			return len(p), nil
		}
		if l.terminal {
			line = []byte(report.Clean(string(colors.ReplaceAll(bytes.TrimSuffix(line, []byte("\r")), nil))))
		}
		if _, err := fmt.Fprintf(l.w, "%s%s\n", l.prefix, line); err != nil {
			return 0, err
		}
		text = after
	}
}

// lockedWriter is written to by several.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// lastLines is the last n lines of text; all of it when n is negative.
func lastLines(text []byte, n int) []byte {
	if n < 0 {
		return text
	}
	at := len(text)
	for ; n > 0 && at > 0; n-- {
		at = bytes.LastIndexByte(text[:at-1], '\n') + 1
	}
	return text[at:]
}
