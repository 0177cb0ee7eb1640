package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// screen is a terminal as far as the renderer uses one: it understands \r, \n and "erase to
// the end of the line", and remembers when what was written.
type screen struct {
	began  time.Time
	record strings.Builder
	lines  []string
	line   string
	widest int
}

func (s *screen) Write(p []byte) (int, error) {
	if s.began.IsZero() {
		s.began = time.Now().Truncate(time.Minute)
	}
	shown := strings.NewReplacer("\r", "<CR>", "\x1b", "<ESC>", "\n", "<NL>").Replace(string(p))
	fmt.Fprintf(&s.record, "%7.3fs  %s\n", time.Since(s.began).Seconds(), shown)
	text := strings.NewReplacer(dim, "", red, "", plainText, "").Replace(string(p))
	for text != "" {
		switch {
		case strings.HasPrefix(text, eraseLine):
			s.line, text = "", text[len(eraseLine):]
		case text[0] == '\n':
			s.lines, s.line, text = append(s.lines, s.line), "", text[1:]
		default:
			s.line, text = s.line+text[:1], text[1:]
		}
	}
	s.widest = max(s.widest, cells(s.line))
	return len(p), nil
}

// text is what is on the screen now.
func (s *screen) text() string { return strings.Join(append(s.lines, s.line), "\n") }

func TestTerminalDrawsAsRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		act     func(*Reporter)
	}{
		"quick": {Options{}, func(r *Reporter) {
			s := r.Step("starting the engine")
			time.Sleep(90 * time.Millisecond)
			s.Done()
		}},
		"short": {Options{}, func(r *Reporter) {
			s := r.Step("starting the engine")
			s.Note("waiting for containerd")
			time.Sleep(350 * time.Millisecond)
			s.Done()
		}},
		"long": {Options{Color: true, UTF8: true}, func(r *Reporter) {
			s := r.Step("starting the engine")
			time.Sleep(450 * time.Millisecond)
			s.Note("waiting for containerd")
			time.Sleep(700 * time.Millisecond)
			s.Done()
		}},
		"failing": {Options{Color: true}, func(r *Reporter) {
			s := r.Step("starting the engine")
			time.Sleep(150 * time.Millisecond)
			s.Fail(errors.New("no space left on device"))
		}},
		"overlapping": {Options{}, func(r *Reporter) {
			a := r.Step("pulling redis:7")
			b := r.Step("pulling postgres:17")
			time.Sleep(150 * time.Millisecond)
			fmt.Fprintln(r.Writer(), "warning: slow disk")
			fmt.Fprint(r.Writer(), "warning: no newline")
			time.Sleep(time.Second)
			b.Done()
			time.Sleep(100 * time.Millisecond)
			a.Done()
			c := r.Step("starting redis")
			time.Sleep(120 * time.Millisecond)
			c.Done()
			fmt.Fprintln(r.Writer(), "warning: after")
		}},
		"narrow": {Options{Width: func() int { return 30 }}, func(r *Reporter) {
			s := r.Step("starting the engine")
			s.Note("waiting for containerd to answer on its socket")
			time.Sleep(250 * time.Millisecond)
			s.Done()
		}},
		"tiny": {Options{Width: func() int { return 3 }}, func(r *Reporter) {
			s := r.Step("starting the engine")
			time.Sleep(250 * time.Millisecond)
			s.Done()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &screen{}
				c.options.Err, c.options.Format = out, Terminal
				r := New(c.options)
				c.act(r)
				r.Close()
				if out.line != "" {
					t.Errorf("the live line is still there: %q", out.line)
				}
				golden(t, name, out.record.String()+"--- left on the screen\n"+out.text())
			})
		})
	}
}

func TestTheLiveLineIsAlwaysNarrowerThanTheTerminal(t *testing.T) {
	for width := range 60 {
		synctest.Test(t, func(t *testing.T) {
			out := &screen{}
			r := New(Options{Err: out, Format: Terminal, Width: func() int { return width }})
			a, b := r.Step("building 東京 for the web"), r.Step("starting the engine")
			b.Note("waiting for containerd to answer")
			time.Sleep(150 * time.Millisecond)
			b.Done()
			time.Sleep(150 * time.Millisecond)
			a.Done()
			r.Close()
			if out.widest >= width && out.widest > 0 {
				t.Errorf("width %d: a line of %d columns in\n%s", width, out.widest, out.record.String())
			}
		})
	}
}

// golden compares with testdata/NAME.golden; UPDATE=1 (make update) writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, string(want))
}
