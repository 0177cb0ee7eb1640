package build

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

func TestWhatIsShownSteersNoTerminal(t *testing.T) {
	const evil = "a\x1b]0;title\x07\x1b[2J\u202eb"
	const want = `a\x1b]0;title\x07\x1b[2J\u202eb`
	info := &pb.SourceInfo{Filename: evil, Data: []byte("FROM x\n" + evil)}
	group := &pb.ProgressGroup{Id: "one", Name: evil, Weak: true}
	s := &client.SolveStatus{
		Vertexes: []*client.Vertex{{Name: evil, Error: evil, ProgressGroup: group}, {Name: "of no group"}},
		Statuses: []*client.VertexStatus{{ID: evil, Name: evil}},
		Logs:     []*client.VertexLog{{Data: []byte(evil)}},
		Warnings: []*client.VertexWarning{{Short: []byte(evil), Detail: [][]byte{[]byte(evil)}, URL: evil, SourceInfo: info}},
	}
	(&cleaner{}).clean(s)
	w := s.Warnings[0]
	again := s.Vertexes[0].ProgressGroup
	for i, got := range []string{
		again.Name, s.Vertexes[0].Name, s.Vertexes[0].Error, s.Statuses[0].ID, s.Statuses[0].Name, string(s.Logs[0].Data),
		string(w.Short), string(w.Detail[0]), w.URL, w.SourceInfo.Filename, strings.TrimPrefix(string(w.SourceInfo.Data), "FROM x\n"),
	} {
		if got != want {
			t.Errorf("%d is %q", i, got)
		}
	}
	if info.Filename != evil || group.Name != evil {
		t.Error("what others read has changed, too")
	}
	if again.Id != "one" || !again.Weak || s.Vertexes[1].ProgressGroup != nil {
		t.Errorf("the groups are %v and %v", again, s.Vertexes[1].ProgressGroup)
	}
}

// Colours and characters arrive whole, in however many parts they come.
func TestWhatStepsPrintKeepsItsColours(t *testing.T) {
	const text = "\x1b[1;31mrot\x1b[0m grün\r\n10%\r20%\r\x1b[2K\x1b[Hdone \u00e9\n"
	for _, c := range []struct {
		drawing bool
		want    string
	}{
		{false, "\x1b[1;31mrot\x1b[0m grün\n10%\n20%\n" + `\x1b[2K\x1b[H` + "done é\n"},
		{true, "\x1b[1;31mrot\x1b[0m grün\n10%\r20%\r" + `\x1b[2K\x1b[H` + "done é\n"},
	} {
		for size := range len(text) {
			cl := &cleaner{drawing: c.drawing}
			got := ""
			for part := text; part != ""; {
				n := min(size+1, len(part))
				got += string(cl.log(stream{"s", 1}, []byte(part[:n])))
				cl.log(stream{"s", 2}, []byte("\xc3")) // another stream's
				part = part[n:]
			}
			// A line's end may come apart, too.
			if got = strings.ReplaceAll(got, "\r\n", "\n"); strings.ReplaceAll(got, "\n\n", "\n") != c.want {
				t.Errorf("in parts of %d: %q, want %q", size+1, got, c.want)
			}
		}
	}
}

func FuzzLogs(f *testing.F) {
	f.Add([]byte("\x1b["), []byte("31mx\x1b[2J\xc3"), digest.FromString("x").String())
	f.Fuzz(func(t *testing.T, one, two []byte, step string) {
		c := &cleaner{}
		out := string(c.log(stream{step, 1}, one)) + string(c.log(stream{step, 1}, two))
		if left := color.ReplaceAllString(out, ""); strings.ContainsAny(left, "\x1b\r\a\b") {
			t.Errorf("%q, %q leave %q", one, two, out)
		}
	})
}
