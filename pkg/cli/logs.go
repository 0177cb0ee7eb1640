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
	"time"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// showLogs prints logs, each line behind its log's name when there are several, and follows
// them until ctx ends or the user interrupts.
func showLogs(ctx context.Context, w io.Writer, logs []guest.Log, tail int, follow bool) error {
	var readers []*logReader
	for _, l := range logs {
		r := &logReader{log: l, w: w}
		if len(logs) > 1 {
			r.prefix = l.Name + " | "
		}
		if err := r.first(tail); err != nil {
			return err
		}
		readers = append(readers, r)
	}
	if !follow {
		return nil
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
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
	w      io.Writer
	prefix string
	offset int64
	rest   []byte // the beginning of a line whose end is not there yet
}

func (r *logReader) first(tail int) error {
	text, err := os.ReadFile(r.log.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	r.offset = int64(len(text))
	return r.print(lastLines(text, tail))
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
	text, err := io.ReadAll(io.NewSectionReader(f, r.offset, 1<<30))
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	r.offset += int64(len(text))
	return r.print(text)
}

func (r *logReader) print(text []byte) error {
	text = append(r.rest, text...)
	for {
		line, after, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			r.rest = append([]byte(nil), text...)
			return nil
		}
		if _, err := fmt.Fprintf(r.w, "%s%s\n", r.prefix, line); err != nil {
			return err
		}
		text = after
	}
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
