package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/deps"
)

const mendable = `package p

import "fmt"

// f says what it is given.
func f(s string) { fmt.Println(s) }

type t struct{}

func (x *t) g() string { return "one " + "word" }
`

// mendIn writes a module with one file, and applies a mend to it.
func mendIn(t *testing.T, source string, m mendText) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	m.File = "p.go"
	return dir, applyMend(dir, m)
}

func digestOf(t *testing.T, name string) string {
	t.Helper()
	f, err := findFunction([]byte(mendable), name)
	if err != nil {
		t.Fatal(err)
	}
	return f.digest
}

func TestAMendStandsInTheFunctionsPlace(t *testing.T) {
	ours := "//go:build mend\n\npackage p\n\nfunc f(s string) { unmendedf(s + \"!\") }\n"
	dir, err := mendIn(t, mendable, mendText{deps.Mend{Name: "loud-f", Function: "f", SHA256: digestOf(t, "f")}, ours})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "p.go")); !strings.Contains(string(text), "func unmendedf(s string) { fmt") {
		t.Errorf("%s", text)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "linnet_mend_loud_f.go")); string(text) != strings.TrimPrefix(ours, "//go:build mend\n") {
		t.Errorf("%s", text)
	}
}

func TestAMendMayChangeAWord(t *testing.T) {
	m := deps.Mend{Name: "word", Function: "(*t).g", SHA256: digestOf(t, "(*t).g"), Edits: []deps.Edit{{From: `"word"`, To: `"phrase"`}}}
	dir, err := mendIn(t, mendable, mendText{Mend: m})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "p.go")); string(text) != strings.Replace(mendable, `"word"`, `"phrase"`, 1) {
		t.Errorf("%s", text)
	}
}

// TestAMendIsForOneText: a letter more in the function, or anything else that is not as it was, and nothing is built.
func TestAMendIsForOneText(t *testing.T) {
	whole := mendText{deps.Mend{Name: "loud-f", Function: "f", SHA256: digestOf(t, "f")}, "//go:build mend\n\npackage p\n\nfunc f(s string) {}\n"}
	with := func(change func(*mendText)) mendText {
		m := whole
		change(&m)
		return m
	}
	for name, c := range map[string]struct {
		source string
		mend   mendText
		want   string
	}{
		"another letter":     {strings.Replace(mendable, "Println", "Printlm", 1), whole, "mend loud-f: f in p.go of  is not the function that it was written for"},
		"no such function":   {strings.Replace(mendable, "func f", "func h", 1), whole, "mend loud-f: p.go: no function is called f"},
		"another package":    {mendable, with(func(m *mendText) { m.Text = strings.Replace(m.Text, "package p", "package q", 1) }), "package q, and the function is in package p"},
		"another name":       {mendable, with(func(m *mendText) { m.Text = strings.Replace(m.Text, "func f", "func h", 1) }), "no function is called f"},
		"no constraint":      {mendable, with(func(m *mendText) { m.Text = strings.TrimPrefix(m.Text, "//go:build mend\n") }), "the first line"},
		"a word not there":   {mendable, with(func(m *mendText) { m.Edits = []deps.Edit{{From: "none", To: "x"}} }), "stands there 0 times"},
		"a word there twice": {mendable, with(func(m *mendText) { m.Edits = []deps.Edit{{From: "s", To: "x"}} }), "times, not once"},
	} {
		if _, err := mendIn(t, c.source, c.mend); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
