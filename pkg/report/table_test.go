package report

import (
	"errors"
	"strings"
	"testing"
)

func TestTableIsAlignedOnATerminalAndTabbedOffIt(t *testing.T) {
	for _, c := range []struct {
		name     string
		terminal bool
		want     string
	}{
		{"terminal", true, "NAME         STATE     PID\ncontainerd   running   42\n東京         stopped\nshort\n\n"},
		{"pipe", false, "NAME\tSTATE\tPID\ncontainerd\trunning\t42\n東京\tstopped\t\nshort\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := NewTable(c.terminal, "NAME", "STATE", "PID")
			table.Row("containerd", "running", "42")
			table.Row("東京", "stopped", "")
			table.Row("short")
			table.Row()
			var out strings.Builder
			if err := table.Print(&out); err != nil {
				t.Fatal(err)
			}
			compare(t, out.String(), c.want)
		})
	}
}

func TestACellCannotBecomeTwo(t *testing.T) {
	table := NewTable(false)
	table.Row("a\tb\nc\x1b[31m", "d")
	var out strings.Builder
	if err := table.Print(&out); err != nil {
		t.Fatal(err)
	}
	compare(t, out.String(), "a b c\\x1b[31m\td\n")
}

func TestATableThatCannotBeWrittenSaysSo(t *testing.T) {
	table := NewTable(true, "NAME")
	if err := table.Print(full{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}

var errFull = errors.New("no space left on device")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
