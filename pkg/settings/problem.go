package settings

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with the settings.
type Problem struct {
	// Where is the file, home directory written as ~, or the name of the environment
	// variable or flag.
	Where string `json:"where"`
	// Line counts from 1; 0 where it makes no sense.
	Line int `json:"line,omitempty"`
	// Key is the path of the setting, like "engine.logSize"; empty when the problem is the
	// file itself.
	Key string `json:"key,omitempty"`
	// Text says what is wrong, Hint what would be right; Hint may be empty.
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

// Error is the problem on one line, without its hint:
// `~/.linnet/linnet.yaml:3: engine.logSize: "4GG" is not a size`.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Where)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	return b.String() + ": " + p.Text
}

// Problems is everything wrong with the settings, in the order of the file, then of the
// environment, then of the flags. It is never empty when it is an error.
type Problems []Problem

// Error is "reading " and the problem when there is one, and otherwise a first line with their
// number, followed by each on its own line with its hint on the next.
func (ps Problems) Error() string {
	if len(ps) == 1 {
		return "reading " + ps[0].Error()
	}
	where := "settings"
	if ps.samePlace() {
		where = ps[0].Where
	}
	var b strings.Builder
	fmt.Fprintf(&b, "reading %s: %d problems", where, len(ps))
	for _, p := range ps {
		b.WriteString("\n" + p.Error())
		if p.Hint != "" {
			b.WriteString("\nhint: " + p.Hint)
		}
	}
	return b.String()
}

// Hint is the hint of a single problem. More than one have theirs in the text of Error.
func (ps Problems) Hint() string {
	if len(ps) == 1 {
		return ps[0].Hint
	}
	return ""
}

// Unwrap returns the problems as errors.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

func (ps Problems) samePlace() bool {
	for _, p := range ps {
		if p.Where != ps[0].Where {
			return false
		}
	}
	return len(ps) > 0
}

// fault is what is wrong with a value, before anyone knows where it stood.
type fault struct{ text, hint string }

func (f *fault) Error() string { return f.text }

// Hint says what would be right; it may be empty.
func (f *fault) Hint() string { return f.hint }
