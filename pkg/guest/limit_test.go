package guest

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestWhatAGuestWritesIsKeptToALimit(t *testing.T) {
	var out bytes.Buffer
	w := Limit(&out, 5)
	for _, text := range []string{"abc", "de"} {
		if n, err := io.WriteString(w, text); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	if _, err := io.WriteString(w, "f"); err == nil || !strings.Contains(err.Error(), "more than 5 bytes") || out.String() != "abcde" {
		t.Errorf("beyond: %v, and %q is kept", err, &out)
	}
}
