package report

import (
	"io"
	"strings"
)

// Table is a list of results: columns aligned with spaces on a terminal, for people; separated
// by one tab off it, for cut and awk. Unlike progress it goes where results go.
type Table struct {
	terminal bool
	rows     [][]string
}

// NewTable returns a table for a stream that is a terminal or is not. The header is its first
// row in both cases, so that both show the same; none means that there is no such row.
func NewTable(terminal bool, header ...string) *Table {
	t := &Table{terminal: terminal}
	if len(header) > 0 {
		t.Row(header...)
	}
	return t
}

// Row adds a row. Tabs, newlines and other control characters in a cell become spaces, since
// they would make it two. Rows may have different lengths.
func (t *Table) Row(row ...string) {
	cleaned := make([]string, len(row))
	for i, cell := range row {
		cleaned[i] = CleanLine(cell)
	}
	t.rows = append(t.rows, cleaned)
}

// Print writes the whole table at once and returns the writer's error.
func (t *Table) Print(w io.Writer) error {
	var out strings.Builder
	widths := t.widths()
	for _, row := range t.rows {
		var text strings.Builder
		for i, cell := range row {
			text.WriteString(cell)
			if i == len(row)-1 {
				break
			}
			if !t.terminal {
				text.WriteByte('\t')
				continue
			}
			text.WriteString(strings.Repeat(" ", widths[i]-cells(cell)+gap))
		}
		shown := text.String()
		if t.terminal {
			shown = strings.TrimRight(shown, " ")
		}
		out.WriteString(shown + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// gap is the number of spaces between two columns.
const gap = 3

func (t *Table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cells(cell))
		}
	}
	return widths
}
