package nerdctl

import (
	"slices"
	"strings"
	"testing"
)

func TestMend(t *testing.T) {
	for line, mended := range map[string]bool{
		"run --rm image":                        true,
		"container run --rm -i image sh":        true,
		"run -it --rm image":                    true,
		"run image":                             false, // its log can be asked for afterwards
		"run -d --rm image":                     false, // and this one's meanwhile
		"run --rm --log-driver=json-file image": false,
		"run --rm --log-opt tag=x image":        false,
		"exec box true":                         false,
		"compose run --rm service":              false,
		"ps":                                    false,
	} {
		inv, err := Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		before := inv.Argv()
		got := Mend(inv).Argv()
		if slices.Contains(got, "--log-driver=none") != mended {
			t.Errorf("%s: became %q", line, got)
		}
		if !slices.Equal(inv.Argv(), before) {
			t.Errorf("%s: the line itself was changed to %q", line, inv.Argv())
		}
	}
}
