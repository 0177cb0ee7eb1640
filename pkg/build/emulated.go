package build

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// withMissing adds to a step's failure that programs of its platform do not run here, if that may
// be why: the kernel's own words are in the step's output, and the step's exit code is runc's.
func withMissing(err, missing error) error {
	text := err.Error()
	if missing == nil || !strings.Contains(text, "exec format error") && !strings.Contains(text, "exit code: 255") {
		return err
	}
	fix := cmp.Or(hint.Of(missing), "linnet emulation status")
	return &hint.Error{Err: fmt.Errorf("%w (%s)", err, strings.ReplaceAll(missing.Error(), "\n", "; ")), Fix: fix}
}

// platforms are those of the command line, and those that a FROM names by itself.
func (j *job) platforms() []string {
	var all []string
	for _, value := range j.options.Platforms {
		all = append(all, strings.Split(value, ",")...)
	}
	for _, s := range j.parsed() {
		if s.Platform != "" && !strings.Contains(s.Platform, "$") {
			all = append(all, s.Platform)
		}
	}
	return all
}

// parsed are the stages of the Dockerfile; none where it is not here, or not right.
func (j *job) parsed() []instructions.Stage {
	parsed, err := parser.Parse(bytes.NewReader(j.file.Text))
	if err != nil {
		return nil
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil
	}
	return all
}

// tellEmulated adds a line to the first step that runs for each emulated architecture: the note
// for it.
func (j *job) tellEmulated(d Display, notes map[string]string) Display {
	if len(notes) == 0 {
		return d
	}
	stages, told := j.stageRuns(), map[string]bool{}
	tell := func(s *client.SolveStatus) {
		for _, v := range s.Vertexes {
			arch := runsOn(v.Name, stages)
			if v.Started == nil || v.Cached || notes[arch] == "" || told[arch] {
				continue
			}
			told[arch] = true
			s.Logs = append(s.Logs, &client.VertexLog{Vertex: v.Digest, Stream: 2, Data: []byte(notes[arch] + "\n"), Timestamp: *v.Started})
		}
	}
	return d.through(tell)
}

// step is how the frontend names a step that runs something: [PLATFORM STAGE 2/3] RUN ..., the
// platform only where a build has several, and the stage only where it does. What runs on one
// platform for another is linux/amd64->arm64.
var step = regexp.MustCompile(`^\[(?:([^\s/]+/[^\s>]+?)(?:->\S+)? )?(?:([^\s/]+) )? *\d+/\d+\] RUN `)

// runsOn is the architecture that a step runs on; empty for what runs nothing, or is unknown.
func runsOn(name string, stages func(stage string) string) string {
	m := step.FindStringSubmatch(name)
	switch {
	case m == nil:
		return ""
	case m[1] != "":
		return architecture(m[1])
	default:
		return stages(m[2])
	}
}

// architecture is a platform's; empty if it is none.
func architecture(platform string) string {
	p, err := platforms.Parse(platform)
	if err != nil {
		return ""
	}
	return p.Architecture
}

// stageRuns says on which architecture the steps of a stage run, in a build for one platform:
// that one, unless its FROM says another.
func (j *job) stageRuns() func(stage string) string {
	target, all := "", j.parsed()
	if named := strings.Split(strings.Join(j.options.Platforms, ","), ","); len(named) == 1 {
		target = architecture(named[0])
	}
	return func(stage string) string {
		i := slices.IndexFunc(all, func(s instructions.Stage) bool { return strings.EqualFold(s.Name, stage) })
		if n := 0; i < 0 && len(all) > 1 {
			if _, err := fmt.Sscanf(stage, "stage-%d", &n); err == nil && n < len(all) {
				i = n // one without a name
			}
		}
		if i < 0 {
			return target
		}
		switch p := all[i].Platform; {
		case p == "", strings.Contains(p, "TARGET"):
			return target
		case strings.Contains(p, "$"):
			return "" // the builder's own, or a variable's
		default:
			return architecture(p)
		}
	}
}
