package doctor_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/doctor"
)

// Each check has its texts, and a name of its own.
func TestChecksAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range doctor.Checks() {
		if c.Title == "" || c.Looks == "" || c.Why == "" || seen[c.ID] {
			t.Errorf("%+v", c)
		}
		for _, text := range []string{c.Title, c.Looks, c.Why, c.Repairs} {
			if strings.HasSuffix(text, ".") || strings.ContainsAny(text, "|\n") {
				t.Errorf("%s: %q", c.ID, text)
			}
		}
		seen[c.ID] = true
	}
}

func TestChecksAreChosenByName(t *testing.T) {
	some, err := doctor.Find([]string{"dns", "home", "dns"})
	if err != nil || len(some) != 2 || some[0].ID != "dns" || some[1].ID != "home" {
		t.Errorf("%v, %v", some, err)
	}
	unknown := (*doctor.UnknownError)(nil)
	if _, err := doctor.Find([]string{"dsn"}); !errors.As(err, &unknown) || err.Error() != `there is no check "dsn"` {
		t.Errorf("%v", err)
	}
}

// Machines elsewhere are asked on request alone.
func TestRegistriesAreAskedOnRequest(t *testing.T) {
	f := healthy()
	f.Network, f.Registries[0].Error = false, "no such host"
	checks, _ := doctor.Find([]string{"registry"})
	if r := doctor.Judge(f, checks); len(r) != 1 || r[0].State != doctor.Skipped || r[0].Says != "not asked for: --network" {
		t.Errorf("%+v", r)
	}
}

func TestProxiesAreShownWithoutSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"http://proxy:3128": "http://proxy:3128", "http://u:p@proxy:3128": "http://***@proxy:3128", "u:p@proxy": "***@proxy", "http://u:p@q@proxy": "http://***@proxy", "u@x://p@proxy": "***@proxy",
	} {
		if got := doctor.Redacted(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// docs/doctor.md has the table of checks as they are.
func TestTheDocumentedTable(t *testing.T) {
	const page, begins = "../../docs/doctor.md", "| check |"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	start := strings.Index(string(text), begins)
	if start < 0 {
		t.Fatalf("%s has no table", page)
	}
	end := start + strings.Index(string(text[start:])+"\n\n", "\n\n") + 1
	end = min(end, len(text))
	if string(text[start:end]) == doctor.Table() {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Errorf("%s has another table than the checks: make update", page)
		return
	}
	if err := os.WriteFile(page, []byte(string(text[:start])+doctor.Table()+string(text[end:])), 0o644); err != nil {
		t.Fatal(err)
	}
}
