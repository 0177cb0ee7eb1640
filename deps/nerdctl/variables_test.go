package main

import (
	"slices"
	"testing"
)

func TestSplitVariables(t *testing.T) {
	for data, want := range map[string][]string{
		"": nil, "A=1\x00": {"A=1"}, "A=\n#x \x00B=\x00C\x00": {"A=\n#x ", "B=", "C"}, "A==\xff\x00": {"A==\xff"},
	} {
		if got, err := splitVariables([]byte(data)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", data, got, err, want)
		}
	}
	for _, data := range []string{"A=1", "\x00", "=1\x00", "A=1\x00B", "A=1\x00\x00"} {
		if got, err := splitVariables([]byte(data)); err == nil {
			t.Errorf("%q: %q, want an error", data, got)
		}
	}
}

func TestReadVariablesNamesWhatIsWrong(t *testing.T) {
	for _, number := range []string{"", "x", "-1", "99999999999"} {
		if _, err := readVariables(number); err == nil {
			t.Errorf("%q is taken for a descriptor", number)
		}
	}
}
