package hint_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/linnet-dev/linnet/pkg/hint"
)

func TestOf(t *testing.T) {
	inner := hint.New("no such file", "check the spelling")
	outer := &hint.Error{Err: fmt.Errorf("reading: %w", inner), Fix: "name another file"}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("plain"), ""},
		{inner, "check the spelling"},
		{fmt.Errorf("wrapped: %w", inner), "check the spelling"},
		{outer, "name another file"},
		{errors.Join(errors.New("plain"), inner), "check the spelling"},
	} {
		if got := hint.Of(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	if !errors.Is(outer, inner) || outer.Error() != "reading: no such file" {
		t.Errorf("%v does not hold %v", outer, inner)
	}
}

func TestCutIsTheReverseOfFormat(t *testing.T) {
	for _, c := range [][2]string{{"text", "fix"}, {"text", ""}, {"", "fix"}, {"two\nlines", "fix"}, {"text\nhint: another's", "fix"}} {
		if text, fix := hint.Cut(hint.Format(c[0], c[1])); text != c[0] || fix != c[1] {
			t.Errorf("%q: %q, %q", c, text, fix)
		}
	}
}
