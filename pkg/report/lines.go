package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// plain shows each event as one line, for logs and for terminals that cannot do more.
type plain struct{ w io.Writer }

func (p *plain) event(e event) {
	// A standard error that cannot be written to is nothing that progress can report.
	_, _ = io.WriteString(p.w, line(e)+"\n")
}

func (p *plain) log(text []byte) error {
	_, err := p.w.Write(text)
	return err
}

func (p *plain) close() {}

// line is an event in words.
func line(e event) string {
	took := elapsed(e.at.Sub(e.step.began))
	switch e.kind {
	case noted:
		return e.step.name + ": " + e.step.note
	case done:
		return fmt.Sprintf("%s: done (%s)", e.step.name, took)
	case failed:
		return fmt.Sprintf("%s: failed (%s)", e.step.name, took)
	default:
		return e.step.name
	}
}

// jsonLines shows each event as one JSON object on a line of its own, for programs.
type jsonLines struct{ w io.Writer }

// jsonEvent is the form in which programs read an event.
type jsonEvent struct {
	// Time is when it happened, RFC 3339 in UTC.
	Time time.Time `json:"time"`
	// Event is start, note, done, fail, or log for text that belongs to no step.
	Event string `json:"event"`
	// ID tells overlapping steps of one command apart; it counts from 1.
	ID   int    `json:"id,omitempty"`
	Step string `json:"step,omitempty"`
	// Text is the note, or the line of a log.
	Text string `json:"text,omitempty"`
	// Seconds is how long a step took, once it has ended.
	Seconds *float64 `json:"seconds,omitempty"`
	Error   string   `json:"error,omitempty"`
}

func (j *jsonLines) event(e event) {
	out := jsonEvent{Time: e.at.UTC(), Event: string(e.kind), ID: e.step.id, Step: e.step.name}
	switch e.kind {
	case noted:
		out.Text = e.step.note
	case done, failed:
		seconds := e.at.Sub(e.step.began).Round(time.Millisecond).Seconds()
		out.Seconds = &seconds
	}
	if e.err != nil {
		out.Error = e.err.Error()
	}
	_ = j.write(out)
}

func (j *jsonLines) log(text []byte) error {
	for l := range bytes.Lines(text) {
		l = bytes.TrimRight(l, "\r\n")
		if err := j.write(jsonEvent{Time: time.Now().UTC(), Event: "log", Text: string(l)}); err != nil {
			return err
		}
	}
	return nil
}

func (j *jsonLines) close() {}

func (j *jsonLines) write(e jsonEvent) error {
	enc := json.NewEncoder(j.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}
