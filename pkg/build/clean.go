package build

import (
	"bytes"
	"regexp"
	"unicode/utf8"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/linnet-dev/linnet/pkg/report"
)

// cleaner takes out of what a build shows what could steer the terminal: names of steps are written by the author
// of the Dockerfile, and what steps print by the makers of their images. What a step prints keeps its colours, and
// where it draws on one line it has a line for each drawing; drawing says that the display draws itself.
type cleaner struct {
	drawing bool
	// rest is what a stream of a step has begun to say: a character or a colour that comes in two parts.
	rest map[stream][]byte
}

type stream struct {
	step   string
	number int
}

// clean changes what a build shows.
func (c *cleaner) clean(s *client.SolveStatus) {
	for _, v := range s.Vertexes {
		v.Name, v.Error = report.CleanLine(v.Name), report.Clean(v.Error)
		v.ProgressGroup = cleanGroup(v.ProgressGroup)
	}
	for _, v := range s.Statuses {
		v.ID, v.Name = report.CleanLine(v.ID), report.CleanLine(v.Name)
	}
	for _, l := range s.Logs {
		l.Data = c.log(stream{l.Vertex.String(), l.Stream}, l.Data)
	}
	for _, w := range s.Warnings {
		w.Short, w.URL = []byte(report.CleanLine(string(w.Short))), report.CleanLine(w.URL)
		for i := range w.Detail {
			w.Detail[i] = []byte(report.CleanLine(string(w.Detail[i])))
		}
		if w.SourceInfo != nil {
			w.SourceInfo = cleanSource(w.SourceInfo)
		}
	}
}

// cleanGroup is a group of steps that is shown as one, or nil for none. It is a copy: others read it, too.
func cleanGroup(group *pb.ProgressGroup) *pb.ProgressGroup {
	again := group.CloneVT()
	if again != nil {
		again.Name = report.CleanLine(group.Name)
	}
	return again
}

// cleanSource is a file whose lines are shown. It is a copy: others read it, too.
func cleanSource(info *pb.SourceInfo) *pb.SourceInfo {
	again := info.CloneVT()
	again.Filename, again.Data = report.CleanLine(info.Filename), []byte(report.Clean(string(info.Data)))
	return again
}

// color is a sequence that sets colours (ECMA-48, SGR), and begun the beginning of one.
var (
	color = regexp.MustCompile(`\x1b\[[0-9;:]*m`)
	begun = regexp.MustCompile(`\x1b(?:\[[0-9;:]{0,32})?$`)
)

// log cleans what a step has printed.
func (c *cleaner) log(from stream, data []byte) []byte {
	data = append(c.rest[from], data...)
	cut := len(data)
	if at := begun.FindIndex(data); at != nil {
		cut = at[0]
	} else {
		for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
			if b := data[len(data)-i]; utf8.RuneStart(b) {
				if !utf8.FullRune(data[len(data)-i:]) {
					cut = len(data) - i
				}
				break
			}
		}
	}
	if c.rest == nil {
		c.rest = map[stream][]byte{}
	}
	c.rest[from] = bytes.Clone(data[cut:])
	data = bytes.ReplaceAll(data[:cut], []byte("\r\n"), []byte("\n"))
	var out []byte
	for len(data) > 0 {
		at := color.FindIndex(data)
		if at == nil {
			return c.plain(out, data)
		}
		out = append(c.plain(out, data[:at[0]]), data[at[0]:at[1]]...)
		data = data[at[1]:]
	}
	return out
}

// plain adds text that sets no colours.
func (c *cleaner) plain(out, text []byte) []byte {
	for i, part := range bytes.Split(text, []byte{'\r'}) {
		switch {
		case i == 0:
		case c.drawing:
			out = append(out, '\r')
		default:
			out = append(out, '\n')
		}
		out = append(out, report.Clean(string(part))...)
	}
	return out
}
