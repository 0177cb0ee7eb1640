package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestChooseIsAPureFunctionOfWishTerminalAndQuiet(t *testing.T) {
	for _, c := range []struct {
		asked           string
		terminal, quiet bool
		want            Format
	}{
		{"", true, false, Terminal},
		{"", false, false, Plain},
		{"auto", true, false, Terminal},
		{"auto", false, false, Plain},
		{"tty", true, false, Terminal},
		{"tty", false, false, Plain},
		{"plain", true, false, Plain},
		{"json", true, false, JSON},
		{"json", false, false, JSON},
		{"quiet", true, false, Quiet},
		{"", true, true, Quiet},
		{"tty", true, true, Quiet},
		{"json", false, true, Quiet},
	} {
		got, err := Choose(c.asked, c.terminal, c.quiet)
		if err != nil || got != c.want {
			t.Errorf("Choose(%q, %v, %v) = %v, %v; want %v", c.asked, c.terminal, c.quiet, got, err, c.want)
		}
	}
}

func TestAnUnknownFormatIsRefusedEvenWhenQuiet(t *testing.T) {
	_, err := Choose("fancy", true, true)
	want := `choosing a progress format: "fancy" is not one of auto, tty, plain, json, quiet`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestNothingIsPrintedWithoutAStep(t *testing.T) {
	for _, f := range []Format{Terminal, Plain, JSON, Quiet} {
		var out bytes.Buffer
		r := New(Options{Err: &out, Format: f})
		r.Close()
		r.Close()
		if out.Len() > 0 {
			t.Errorf("%s printed %q", f, out.String())
		}
	}
}

func TestQuietAndNilReportNothing(t *testing.T) {
	var out bytes.Buffer
	var none *Reporter
	for _, r := range []*Reporter{New(Options{Err: &out, Format: Quiet}), none, New(Options{Format: Plain})} {
		s := r.Step("starting the engine")
		s.Note("waiting for containerd")
		s.Fail(errors.New("boom"))
		s.Done()
		r.Close()
	}
	var step *Step
	step.Note("x")
	step.Done()
	if out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
	if _, err := io.WriteString(none.Writer(), "lost\n"); err != nil {
		t.Error(err)
	}
}

// scenario is the same for every line format: two steps that overlap, one of which fails.
func scenario(r *Reporter) {
	engine := r.Step("starting the engine")
	defer engine.Done()
	time.Sleep(50 * time.Millisecond)
	engine.Note("waiting for containerd")
	engine.Note("waiting for containerd")
	pull := r.Step("pulling redis:7\n\x1b[2Jevil")
	time.Sleep(1500 * time.Millisecond)
	fmt.Fprintln(r.Writer(), "warning: <slow> disk")
	pull.Fail(errors.New("no such host"))
	pull.Done()
	pull.Note("too late")
	time.Sleep(65 * time.Second)
}

func TestPlainIsOneLinePerEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := New(Options{Err: &out, Format: Plain})
		scenario(r)
		r.Close()
		compare(t, out.String(), `starting the engine
starting the engine: waiting for containerd
pulling redis:7 \x1b[2Jevil
warning: <slow> disk
pulling redis:7 \x1b[2Jevil: failed (1.5s)
starting the engine: done (1m06s)
`)
	})
}

func TestJSONIsOneObjectPerLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := New(Options{Err: &out, Format: JSON})
		scenario(r)
		r.Close()
		fmt.Fprint(r.Writer(), "after the end\n")
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
		// The fake clock starts at midnight, 2000-01-01 UTC.
		compare(t, out.String(), `{"time":"2000-01-01T00:00:00Z","event":"start","id":1,"step":"starting the engine"}
{"time":"2000-01-01T00:00:00.05Z","event":"note","id":1,"step":"starting the engine","text":"waiting for containerd"}
{"time":"2000-01-01T00:00:00.05Z","event":"start","id":2,"step":"pulling redis:7 \\x1b[2Jevil"}
{"time":"2000-01-01T00:00:01.55Z","event":"log","text":"warning: <slow> disk"}
{"time":"2000-01-01T00:00:01.55Z","event":"fail","id":2,"step":"pulling redis:7 \\x1b[2Jevil","seconds":1.5,"error":"no such host"}
{"time":"2000-01-01T00:01:06.55Z","event":"done","id":1,"step":"starting the engine","seconds":66.55}
{"time":"2000-01-01T00:01:06.55Z","event":"log","text":"after the end"}
`)
	})
}

// Run with -race: steps, notes, log lines and the drawing clock all at once.
func TestConcurrentStepsDoNotMixTheirLines(t *testing.T) {
	for _, f := range []Format{Terminal, Plain, JSON} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			r := New(Options{Err: &out, Format: f})
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					for j := range 20 {
						s := r.Step(fmt.Sprintf("step %d.%d", i, j))
						s.Note("note")
						fmt.Fprintln(r.Writer(), "log")
						time.Sleep(frame / 8) // of the test's own clock: drawings come in between
						s.Done()
					}
				})
			}
			all.Wait()
			r.Close()
			if f == Plain {
				if n := strings.Count(out.String(), "\n"); n != 8*20*4 {
					t.Errorf("%d lines, want %d", n, 8*20*4)
				}
			}
		})
	}
}

func TestCloseWhileStepsRunEndsTheDrawing(t *testing.T) {
	// synctest fails the test when a goroutine outlives it.
	synctest.Test(t, func(t *testing.T) {
		out := &screen{}
		r := New(Options{Err: out, Format: Terminal})
		s := r.Step("starting the engine")
		time.Sleep(5 * time.Second)
		r.Close()
		s.Done()
		if got := out.text(); got != "" {
			t.Errorf("left on the screen: %q", got)
		}
		if s := r.Step("late"); s == nil {
			t.Error("a step after Close is nil")
		}
	})
}

func TestElapsedReadsLikeAPersonWouldSayIt(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 0: "0.0s", 450 * time.Millisecond: "0.4s", 12340 * time.Millisecond: "12.3s",
		59990 * time.Millisecond: "59.9s", time.Minute: "1m00s", 125 * time.Second: "2m05s", 2 * time.Hour: "120m00s",
	} {
		if got := elapsed(d); got != want {
			t.Errorf("elapsed(%v) = %s, want %s", d, got, want)
		}
	}
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
