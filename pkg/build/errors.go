package build

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"

	"github.com/linnet-dev/linnet/pkg/host"
)

// explain puts BuildKit's error into one line: the place in the Dockerfile where there is one,
// what went wrong, and what can be done.
func (j *job) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := plain(err.Error())
	where := ""
	for _, s := range errdefs.Sources(err) {
		if s.Info == nil || len(s.Ranges) == 0 {
			continue
		}
		name := s.Info.Filename
		if name == j.file.name {
			name = j.file.shown
		}
		where = fmt.Sprintf("%s:%d: ", name, s.Ranges[0].Start.Line)
	}
	wrapped := &Error{Where: strings.TrimSuffix(where, ": "), Text: text, Err: err}
	if fix := j.hint(text); fix != "" {
		return &host.HintError{Err: wrapped, Fix: fix}
	}
	return wrapped
}

// Error is a build that ran and failed.
type Error struct {
	// Where is the file and line, empty where there is none, and Text what went wrong.
	Where, Text string
	Err         error
}

func (e *Error) Error() string {
	if e.Where == "" {
		return "building: " + e.Text
	}
	return fmt.Sprintf("building: %s: %s", e.Where, e.Text)
}

func (e *Error) Unwrap() error { return e.Err }

// plain takes away what BuildKit's layers say to each other.
func plain(text string) string {
	for _, lead := range []string{"failed to solve: ", "rpc error: ", "code = Unknown desc = ", "code = Unavailable desc = ", "failed to solve: "} {
		text = strings.TrimPrefix(text, lead)
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return parseError.ReplaceAllString(text, "")
}

// parseError is what the frontend says of a line that stands in front of it already.
var parseError = regexp.MustCompile(`^dockerfile parse error on line \d+: `)

// hint is what can be done about an error, by what BuildKit says.
func (j *job) hint(text string) string {
	for _, h := range hints {
		if strings.Contains(text, h.text) {
			return h.fix
		}
	}
	return ""
}

// The first that fits counts.
var hints = []struct{ text, fix string }{
	{": not found: secret", "supply it: --secret id=NAME,src=FILE"},
}
