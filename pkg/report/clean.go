package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text that comes from outside (an image, a Dockerfile, an agent, a program's
// output) fit for a terminal. Printable text, newlines and tabs stay as they are. A control
// character (C0, DEL, C1), which could move the cursor, set the title or type for the user, one
// that turns the direction of the text around it (Unicode's Bidi_Control), an invisible line end
// and a byte that is not UTF-8 are shown as Go writes them: `\x1b`, `\u202e`, `\xff`. A carriage
// return in front of a newline is dropped.
func Clean(text string) string {
	if isClean(text) {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case r == '\r' && strings.HasPrefix(text[i+1:], "\n"):
		case !steers(r):
			out.WriteString(text[i : i+size])
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		i += size
	}
	return out.String()
}

// CleanLine is Clean for what has to stay on one line: white space of any kind becomes a space,
// and none is left at the ends.
func CleanLine(text string) string {
	return strings.TrimSpace(Clean(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))))
}

func isClean(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, steers) < 0
}

// steers reports whether a terminal, or what lays out a line, may take r for an instruction.
func steers(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x300: // most text
		return unicode.Is(unicode.Cc, r)
	}
	return unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
