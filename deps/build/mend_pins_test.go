//go:build e2e

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/deps"
)

// TestMendsFitThePins: each mend applies to the pinned source, and to no other: with one letter of the function changed it is
// refused by name. The sources are fetched: make test-unit runs it.
func TestMendsFitThePins(t *testing.T) {
	all, err := deps.Mends()
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{modules: "..", mends: all, goCommand: "go", log: t.Output()}
	for _, m := range all {
		texts, err := (&builder{modules: "..", mends: []deps.Mend{m}}).mendsOf(m.Component)
		if err != nil {
			t.Fatal(err)
		}
		from, _, err := b.verified(t.Context(), filepath.Join("..", m.Component), m.Module)
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(filepath.Join(from, filepath.FromSlash(m.File)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mendIn(t, string(source), texts[0]); err != nil {
			t.Errorf("%s does not fit: %v", m.Name, err)
		}
		f, err := findFunction(source, m.Function)
		if err != nil {
			t.Fatal(err)
		}
		changed := string(source[:f.end-1]) + ";" + string(source[f.end-1:])
		if _, err := mendIn(t, changed, texts[0]); err == nil || !strings.Contains(err.Error(), "mend "+m.Name+": ") {
			t.Errorf("%s is applied to another text: %v", m.Name, err)
		}
	}
}
