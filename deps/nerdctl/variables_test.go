package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
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

// TestValuesPassTheirFlag byte for byte.
func TestValuesPassTheirFlag(t *testing.T) {
	want := []string{"A=\r\n", "B=\r\r\n\n\r", "C=x\r", "D=\"q\",\n", "E=", "F= \xff\t"}
	cmd := &cobra.Command{}
	cmd.Flags().StringArray("env", nil, "")
	for _, v := range want {
		if err := cmd.Flags().Set("env", throughCSV(v)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := cmd.Flags().GetStringArray("env"); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
