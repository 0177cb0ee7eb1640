package report

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCleanKeepsPrintableTextAndShowsWhatSteersATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"plain, ünïcode, 日本語, a\u200db, c\u200cd": "plain, ünïcode, 日本語, a\u200db, c\u200cd",
		"two\nlines\tand a tab":                   "two\nlines\tand a tab",
		"windows\r\nlines\r\n":                    "windows\nlines\n",
		"over\rwritten":                           `over\x0dwritten`,
		"\x1b]0;title\x07\x1b[2Jgone":             `\x1b]0;title\x07\x1b[2Jgone`,
		"\u009b31mC1 \x7f":                        `\x9b31mC1 \x7f`,
		"a\u202etxt.exe\u2066":                    `a\u202etxt.exe\u2066`,
		"a\u2028b":                                `a\u2028b`,
		"cut \xff\xe2\x82":                        `cut \xff\xe2\x82`,
		"said \ufffd before":                      "said \ufffd before",
	} {
		if got := Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCleanLineStaysOnOneLine(t *testing.T) {
	if got, want := CleanLine(" a\r\nb\tc\u2028d\x1b[2J\n"), `a  b c d\x1b[2J`; got != want {
		t.Errorf("CleanLine = %q, want %q", got, want)
	}
}

func FuzzCleanLeavesNothingThatSteersATerminal(f *testing.F) {
	f.Add("\x1b[2J\u202e\xff\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := Clean(text)
		if !utf8.ValidString(got) {
			t.Errorf("Clean(%q) = %q is not UTF-8", text, got)
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("Clean(%q) = %q has %q", text, got, r)
			}
		}
		if Clean(got) != got {
			t.Errorf("Clean(%q) is cleaned once more", text)
		}
		if line := CleanLine(text); strings.ContainsAny(line, "\n\t") {
			t.Errorf("CleanLine(%q) = %q", text, line)
		}
	})
}
