package report

import (
	"strings"
	"unicode"
)

// cells is the number of columns that text takes on a terminal.
func cells(text string) int {
	n := 0
	for _, r := range text {
		n += runeCells(r)
	}
	return n
}

// runeCells is 0 for marks that combine with the rune before, 2 for the wide blocks of
// Unicode's East Asian Width (UAX #11) and pictures, 1 otherwise. Where terminals disagree it
// says 2: a line that is too short does no harm.
func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f000 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// truncate cuts text to at most width columns; "..." stands for what is cut away.
func truncate(text string, width int) string {
	if cells(text) <= width {
		return text
	}
	const dots = "..."
	if width <= len(dots) {
		return ""
	}
	var out strings.Builder
	room := width - len(dots)
	for _, r := range text {
		if room -= runeCells(r); room < 0 {
			break
		}
		out.WriteRune(r)
	}
	return out.String() + dots
}
