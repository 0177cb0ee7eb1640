package buildrules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/lens"
)

// BuildKit's linter answers without an engine, knows the .dockerignore, and goes by its own directive.
func TestBuildKitsRules(t *testing.T) {
	for text, want := range map[string]string{
		"FROM scratch\nCMD a\n":                                           "2 JSONArgsRecommended",
		"FROM scratch\nWORKDIR a\nCOPY kept /\nMAINTAINER me\n":           "4 MaintainerDeprecated 2 WorkdirRelativePath",
		"# check=skip=JSONArgsRecommended\nFROM scratch\nCMD a\n":         "",
		"# check=error=true\nFROM scratch\nCMD a\n":                       "3 JSONArgsRecommended",
		"# check=experimental=all\nFROM scratch\nCOPY gone/file kept /\n": "3 CopyIgnoredFile",
		"FROM nothing\nCOPY --from=7 /a /b\n":                             "0 failed",
		"FORM a\n":                                                        "1 failed",
	} {
		rules, err := Check(t.Context(), "Dockerfile", []byte(text), []byte("gone\n"))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		var got []string
		for _, r := range rules {
			name := r.ID
			if r.Failed {
				name = "failed"
			} else if !strings.Contains(strings.Join(lens.RuleIDs, " "), r.ID) || r.Text == "" || r.URL == "" {
				t.Errorf("%+v", r)
			}
			got = append(got, fmt.Sprint(r.Line, " ", name))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q: %+v", text, got, want, rules)
		}
	}
}
