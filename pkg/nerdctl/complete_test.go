package nerdctl

import (
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for _, c := range []struct {
		line string // the last word is the one under the cursor
		word string // a candidate that must be there, if any
		kind Completion
	}{
		{"container |", "inspect", 0},
		{"container i|", "inspect", 0},
		{"network |", "create", 0},
		{"run --network |", "", Networks},
		{"run -it --rm --network |", "", Networks},
		{"run --net|", "--network", 0},
		{"run -it |", "", Images},
		{"run -e A |", "", Images},
		{"run --rm image |", "", Files},
		{"run --rm image -|", "", Files},
		{"exec -it |", "", Containers},
		{"rm -f one |", "", Containers},
		{"stop |", "", Containers},
		{"rmi |", "", Images},
		{"volume rm |", "", Volumes},
		{"network rm |", "", Networks},
		{"logs --follow=|", "--follow=true", 0},
		{"-n default ps --|", "--all", 0},
	} {
		words := strings.Split(strings.TrimSuffix(c.line, "|"), " ")
		got := Complete(words[:len(words)-1], words[len(words)-1])
		if c.word != "" && !slices.ContainsFunc(got.Words, func(w Word) bool { return w.Text == c.word }) {
			t.Errorf("%q: %q is not among %v", c.line, c.word, got.Words)
		}
		if got.Kinds&c.kind != c.kind {
			t.Errorf("%q: kinds %b, want %b", c.line, got.Kinds, c.kind)
		}
	}
}
