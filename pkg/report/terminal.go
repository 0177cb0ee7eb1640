package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// frame is the time between two drawings of the live line. A step that ends within the
	// first is never seen: waiting that the user does not notice needs no explanation.
	frame = 100 * time.Millisecond
	// lasting is how long a step takes at least for a line about it to stay once it is done.
	lasting = time.Second

	eraseLine = "\r\x1b[K"
	dim       = "\x1b[2m"
	red       = "\x1b[31m"
	plainText = "\x1b[0m"
)

// terminal draws the newest of the running steps in place, on one line below all that stays.
// The cursor is neither hidden nor moved to another line, so that even a killed linnet leaves
// a usable terminal.
type terminal struct {
	options Options
	spinner []string

	// mu is the Reporter's: what draws by the clock takes it, the methods are called under it.
	mu      *sync.Mutex
	running []*Step
	drawn   bool // the live line is on the screen
	frames  int
	stop    chan struct{} // closed to end the drawing; nil when nothing draws
	drawing sync.WaitGroup
}

func newTerminal(o Options, mu *sync.Mutex) *terminal {
	t := &terminal{options: o, mu: mu, spinner: []string{"|", "/", "-", `\`}}
	if o.UTF8 {
		t.spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	}
	return t
}

func (t *terminal) event(e event) {
	switch e.kind {
	case started:
		t.running = append(t.running, e.step)
		if t.stop == nil {
			t.start()
		}
	case noted:
		// The next frame shows it: a step with many notes costs no more than one without.
	case done, failed:
		t.running = slices.DeleteFunc(t.running, func(s *Step) bool { return s == e.step })
		t.end(e)
	}
}

// end shows what remains of a step, and puts the live line back below it.
func (t *terminal) end(e event) {
	var out string
	switch took := e.at.Sub(e.step.began); {
	case e.kind == failed:
		out = t.paint(red, line(e)) + "\n"
	case took >= lasting:
		out = t.paint(dim, line(e)) + "\n"
	}
	drawn := t.drawn
	t.write(t.erase() + out)
	if len(t.running) == 0 {
		t.pause()
	} else if drawn {
		t.draw()
	}
}

func (t *terminal) log(text []byte) error {
	out := string(text)
	// Half a line would be drawn over by the next frame.
	if len(t.running) > 0 && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	drawn := t.drawn
	if _, err := io.WriteString(t.options.Err, t.erase()+out); err != nil {
		return err
	}
	if drawn {
		t.draw()
	}
	return nil
}

func (t *terminal) close() {
	t.write(t.erase())
	t.running = nil
	t.pause()
}

// wait returns when nothing will be drawn any more. It must be called without the lock.
func (t *terminal) wait() { t.drawing.Wait() }

// start begins to draw by the clock, and pause ends it.
func (t *terminal) start() {
	stop := make(chan struct{})
	t.stop = stop
	t.drawing.Go(func() {
		ticks := time.NewTicker(frame)
		defer ticks.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticks.C:
			}
			t.mu.Lock()
			// A pause may have come between the tick and the lock.
			if t.stop == stop {
				t.frames++
				t.draw()
			}
			t.mu.Unlock()
		}
	})
}

func (t *terminal) pause() {
	if t.stop != nil {
		close(t.stop)
		t.stop = nil
	}
}

// draw puts the live line on the screen, over the one that is there.
func (t *terminal) draw() {
	if len(t.running) == 0 {
		return
	}
	width := 80
	if t.options.Width != nil {
		width = t.options.Width()
	}
	spin := t.spinner[t.frames%len(t.spinner)]
	text := live(t.running, time.Now(), width-len("x "))
	if text == "" {
		return
	}
	t.write(eraseLine + t.paint(dim, spin) + " " + text)
	t.drawn = true
}

// erase returns what takes the live line away.
func (t *terminal) erase() string {
	if !t.drawn {
		return ""
	}
	t.drawn = false
	return eraseLine
}

func (t *terminal) paint(style, text string) string {
	if !t.options.Color {
		return text
	}
	return style + text + plainText
}

func (t *terminal) write(text string) {
	if text != "" {
		_, _ = io.WriteString(t.options.Err, text)
	}
}

// live is the text of the live line: the newest step, its note, its time, and how many other
// steps run. It is shorter than width columns, because a terminal wraps a full line and a
// wrapped one cannot be taken away; the time is kept, the words are cut.
func live(running []*Step, now time.Time, width int) string {
	s := running[len(running)-1]
	words := s.name
	if s.note != "" {
		words += ": " + s.note
	}
	end := " " + elapsed(now.Sub(s.began))
	if others := len(running) - 1; others > 0 {
		end += fmt.Sprintf(" (+%d more)", others)
	}
	room := width - 1 - cells(end)
	if room < 8 {
		return truncate(words, width-1)
	}
	return truncate(words, room) + end
}
