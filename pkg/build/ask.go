package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/report"
)

// Answer is what a frontend says of a Dockerfile.
type Answer struct {
	// Text is for people and JSON for programs.
	Text, JSON string
	// Found is the number of remarks of a check; a Dockerfile that cannot be read is one.
	Found int
}

// Ask has the frontend answer a question on a Dockerfile. It is answered here, with no engine; only
// where the Dockerfile has to be fetched, or names a frontend of its own, the engine is asked.
func (s Session) Ask(ctx context.Context, o options.Options, question string) (Answer, error) {
	o.Request = question
	if question == "check" {
		o.Request = "lint"
	}
	j, err := s.prepare(ctx, o)
	if err != nil {
		return Answer{}, err
	}
	defer j.close()
	answers, err := j.answer(ctx)
	if errors.Is(err, errElsewhere) {
		d, derr := NewDisplay(io.Discard, "quiet")
		if derr != nil {
			return Answer{}, derr
		}
		r, berr := s.run(ctx, j, d)
		answers, err = r.Response, berr
	}
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Text: report.Clean(answers["result.txt"]), JSON: answers["result.json"]}
	if question == "check" {
		return j.checked(a)
	}
	return a, nil
}

// errElsewhere says that a question cannot be answered on the host.
var errElsewhere = errors.New("the Dockerfile is not here")

// answer runs BuildKit's own frontend in this process.
func (j *job) answer(ctx context.Context) (map[string]string, error) {
	if j.file.Text == nil || j.opt.Frontend != ownFrontend {
		return nil, errElsewhere
	}
	if _, _, ok := syntax(j.file.Text); ok && j.attrs[cmdlineKey] == "" {
		return nil, errElsewhere // another frontend's Dockerfile
	}
	if _, ok := j.mounts[localDockerfile]; !ok {
		return nil, errElsewhere
	}
	res, err := builder.Build(ctx, &frontendHost{job: j})
	if errors.Is(err, errElsewhere) {
		return nil, errElsewhere
	}
	if err != nil {
		return nil, j.explain(ctx, err)
	}
	return answersOf(res), nil
}

func answersOf(res *gateway.Result) map[string]string {
	answers := map[string]string{}
	for key, value := range res.Metadata {
		answers[key] = string(value)
	}
	return answers
}

// checked puts remarks into lines: the place, the rule, the remark, the source line.
func (j *job) checked(a Answer) (Answer, error) {
	var results lint.LintResults
	if err := json.Unmarshal([]byte(a.JSON), &results); err != nil {
		return a, fmt.Errorf("reading the remarks: %w", err)
	}
	lines := strings.Split(string(j.file.Text), "\n")
	if j.file.Text == nil && len(results.Sources) > 0 {
		lines = strings.Split(string(results.Sources[0].Data), "\n")
	}
	slices.SortStableFunc(results.Warnings, func(a, b lint.Warning) int { return lineOf(a) - lineOf(b) })
	var b strings.Builder
	for _, w := range results.Warnings {
		fmt.Fprintf(&b, "%s: %s: %s\n", j.place(lineOf(w)), w.RuleName, w.Detail)
		source(&b, lines, lineOf(w))
		if w.URL != "" {
			fmt.Fprintf(&b, "    %s\n", w.URL)
		}
	}
	a.Found = len(results.Warnings)
	if e := results.Error; e != nil {
		n := 0
		if len(e.Location.Ranges) > 0 {
			n = int(e.Location.Ranges[0].Start.Line)
		}
		fmt.Fprintf(&b, "%s: error: %s\n", j.place(n), Plain(e.Message))
		source(&b, lines, n)
		a.Found++
	}
	a.Text = report.Clean(b.String())
	return a, nil
}

func lineOf(w lint.Warning) int {
	if w.Location == nil || len(w.Location.Ranges) == 0 {
		return 0
	}
	return int(w.Location.Ranges[0].Start.Line)
}

func (j *job) place(line int) string {
	name := j.file.Shown
	if name == "" {
		name = "Dockerfile"
	}
	if line == 0 {
		return name
	}
	return fmt.Sprintf("%s:%d", name, line)
}

func source(b *strings.Builder, lines []string, line int) {
	if line > 0 && line <= len(lines) {
		fmt.Fprintf(b, "    %s\n", strings.TrimRight(lines[line-1], "\r"))
	}
}
