package report

import (
	"slices"
	"testing"
)

// Three paths are named, each once; dots stand for more.
func TestWhatWasDroppedIsNamed(t *testing.T) {
	var d Dropped
	for _, path := range []string{"a", "b", "b", "c"} {
		d.Setuid(path)
	}
	for _, path := range []string{"a", "b", "c", "d"} {
		d.Capabilities(path)
	}
	d.Device("a\x1b")
	want := []string{
		"dropped the setuid and setgid bits of 3 files: a, b, c",
		"dropped the capabilities of 4 files: a, b, c, ...",
		"left out 1 file that is a device or pipe: " + CleanLine("a\x1b"),
	}
	if got := d.Lines(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
