package lens_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/lens"
)

var findings = []lens.Finding{
	{File: "a/Dockerfile", Line: 3, End: 4, Level: lens.Warning, ID: "base-tag", Text: "one, 100% of it", Fix: "do", Questions: []string{"PERF_03"}},
	{File: "b", Level: lens.Info, ID: "StageNameCasing", Text: "two"},
}

func TestTextHasFixesOnATerminalAlone(t *testing.T) {
	for fixes, want := range map[bool]string{
		false: "a/Dockerfile:3: warning base-tag one, 100% of it\nb: info StageNameCasing two\n",
		true:  "a/Dockerfile:3: warning base-tag one, 100% of it\n    fix: do\n\nb: info StageNameCasing two\n",
	} {
		var b strings.Builder
		if err := lens.Text(&b, findings, fixes); err != nil || b.String() != want {
			t.Errorf("%v: %q, %v", fixes, b.String(), err)
		}
	}
}

// A message ends its command for GitHub at a line break, and a property at a comma.
func TestGitHubsCommandsAreEscaped(t *testing.T) {
	const want = "::warning file=a/Dockerfile,line=3,endLine=4,title=base-tag::one, 100%25 of it%0Afix: do\n::notice file=b,title=StageNameCasing::two\n"
	var b strings.Builder
	if err := lens.GitHub(&b, findings); err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// In SARIF each result names its rule by its place, and a file as a whole has no region.
func TestSARIF(t *testing.T) {
	var b bytes.Buffer
	if err := lens.SARIF(&b, findings, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Version string
					Rules   []struct{ ID string }
				}
			}
			Results []struct {
				RuleID, Level string
				RuleIndex     int
				Locations     []struct {
					PhysicalLocation struct {
						Region *struct{ StartLine, EndLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if log.Version != "2.1.0" || run.Tool.Driver.Version != "1.2.3" || len(run.Results) != 2 {
		t.Fatalf("it is %+v", log)
	}
	for i, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.RuleID != findings[i].ID {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if r := run.Results[0].Locations[0].PhysicalLocation.Region; r == nil || r.StartLine != 3 || r.EndLine != 4 || run.Results[0].Level != "warning" {
		t.Errorf("the first is %+v", run.Results[0])
	}
	if run.Results[1].Locations[0].PhysicalLocation.Region != nil || run.Results[1].Level != "note" {
		t.Errorf("the second is %+v", run.Results[1])
	}
}
