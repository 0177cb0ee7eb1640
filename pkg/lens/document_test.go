package lens_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/lens"
)

// generated is where the page's generated part begins.
const generated = "<!-- What follows is made from pkg/lens by `make update`. -->\n\n"

// The page says what the checks are: no question and no practice is without a row, and no row without an answer.
func TestThePageIsWhatTheChecksAre(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "lens.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	intro, have, found := strings.Cut(string(text), generated)
	if !found {
		t.Fatalf("%s has no line %q", path, generated)
	}
	want := lens.Document()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(intro+generated+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want {
		t.Errorf("%s is not what `make update` makes", path)
	}
}

// Each question and practice either has a check or says why there is none, and checks name no other.
func TestEachQuestionAndPracticeIsAnswered(t *testing.T) {
	questions, practices := map[string]bool{}, map[string]bool{}
	for _, c := range lens.Checks() {
		for _, q := range c.Questions {
			questions[q] = true
		}
		for _, p := range c.Practices {
			practices[p] = true
		}
	}
	for _, q := range lens.Questions {
		if questions[q.ID] == (q.None != "") {
			t.Errorf("%s has checks: %v, and says %q", q.ID, questions[q.ID], q.None)
		}
		delete(questions, q.ID)
	}
	for _, p := range lens.Practices {
		if practices[p.ID] == (p.None != "") {
			t.Errorf("%s has checks: %v, and says %q", p.ID, practices[p.ID], p.None)
		}
		for _, r := range p.Rules {
			if !slices.Contains(lens.RuleIDs, r) {
				t.Errorf("BuildKit has no rule %s", r)
			}
		}
		delete(practices, p.ID)
	}
	if len(questions)+len(practices) > 0 || len(lens.Questions) != 29 {
		t.Errorf("%d questions; checks name unknown ones: %v %v", len(lens.Questions), questions, practices)
	}
}
