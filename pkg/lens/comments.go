package lens

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// skips are the rules that `# check=skip=...` leaves out, BuildKit's and ours alike, and whether findings of it are errors.
type skips struct {
	all, asErrors bool
	ids           []string
}

// read reads the value of a `# check=` directive, as BuildKit's linter does: "skip=A,B;error=true".
func (s *skips) read(value string) {
	for part := range strings.SplitSeq(value, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.TrimSpace(key) {
		case "skip":
			for id := range strings.SplitSeq(value, ",") {
				id = strings.TrimSpace(id)
				s.all = s.all || id == "all"
				s.ids = append(s.ids, id)
			}
		case "error":
			s.asErrors = strings.TrimSpace(value) == "true"
		}
	}
}

// comment is an ignore in a comment of a Dockerfile: `# linnet ignore=ID[,ID] reason`.
type comment struct {
	ids    []string
	reason string
	line   int
	// from and to are the lines that it is for: those of the instruction below it.
	from, to int
	used     bool
}

var ignoring = regexp.MustCompile(`^\s*#\s*linnet\s+ignore=(\S+)\s*(.*?)\s*$`)

// readComments finds the ignores, and which instruction each is for: the next one, or the one that it stands within.
func (d *Dockerfile) readComments(ast *parser.Node) {
	for i, line := range d.Lines {
		m := ignoring.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := &comment{ids: strings.Split(m[1], ","), reason: m[2], line: i + 1}
		for _, n := range ast.Children {
			if n.EndLine >= c.line {
				c.from, c.to = n.StartLine, n.EndLine
				break
			}
		}
		d.comments = append(d.comments, c)
	}
}

// ignores reports whether the Dockerfile itself says that a finding is to be ignored.
func (d *Dockerfile) ignores(f Finding) bool {
	if f.ID == unreadable {
		return false // a build fails
	}
	if d.skip.all || slices.Contains(d.skip.ids, f.ID) {
		return true
	}
	for _, c := range d.comments {
		if c.reason != "" && slices.Contains(c.ids, f.ID) && f.Line <= c.to && max(f.End, f.Line) >= c.from {
			c.used = true
			return true
		}
	}
	return false
}

// comments tells of ignores in comments that mean nothing.
func (r *run) comments(d *Dockerfile) {
	check := byID(badIgnore)
	for _, c := range d.comments {
		var all []found
		for _, id := range c.ids {
			if byID(id) == nil && !isRule(id) {
				all = append(all, found{line: c.line, text: fmt.Sprintf("there is no check %q to ignore", id), fix: listFix})
			}
		}
		switch {
		case len(all) > 0:
		case c.reason == "":
			all = append(all, found{line: c.line, text: "the ignore has no reason, and so ignores nothing", fix: "say why behind the id: # linnet ignore=" + strings.Join(c.ids, ",") + " REASON"})
		case !c.used:
			all = append(all, found{line: c.line, text: "nothing is found that the comment would ignore", fix: "remove the comment"})
		}
		if r.config.level(check) != Off {
			r.add(check, d.Name, nil, all)
		}
	}
}
