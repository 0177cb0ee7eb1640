package cache

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/build/state"
)

func TestACacheMountIsKnownByItsDescription(t *testing.T) {
	for text, want := range map[string][3]string{
		`cached mount /root/.cache from exec /bin/sh -c make with id "linnet/example.com%2Fshop//root/.cache"`: {"example.com/shop", "/root/.cache", "/bin/sh -c make"},
		`cached mount /go from exec /bin/sh -c echo " with id " with id "/go"`:                                 {"", "go", `/bin/sh -c echo " with id "`},
		`cached mount /var/cache from exec make from scratch`:                                                  {"", "/var/cache", "make from scratch"},
		`cached mount /a from exec make with id "own/\"quoted\""`:                                              {"own", `"quoted"`, "make"},
	} {
		project, mount, step := describedMount(text)
		if got := [3]string{project, mount, step}; got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", text, got, want)
		}
	}
}

func TestFiltersAreDockers(t *testing.T) {
	for text, want := range map[string]string{
		"type=mount":           `type=="exec.cachemount"`,
		"type!=context":        `type!="source.local"`,
		"type=exec.cachemount": `type=="exec.cachemount"`,
		"id=abc":               `id~="abc"`,
		"description~=go b":    `description~="go b"`,
		"shared":               "shared",
		"shared=false":         "private",
		"mutable=0":            "immutable",
	} {
		var p Prune
		if err := p.AddFilter(text); err != nil || !slices.Equal(p.Filters, []string{want}) {
			t.Errorf("%s: got %q, %v, want %q", text, p.Filters, err, want)
		}
	}
	var p Prune
	if err := p.AddFilter("until=72h"); err != nil || p.Unused != 72*time.Hour || p.Filters != nil {
		t.Errorf("until: %+v, %v", p, err)
	}
	for text, want := range map[string]string{
		"until=3d":     `"3d" is not a duration`,
		"until=-1h":    `"-1h" is not a duration`,
		"label=x":      `there is no filter "label"`,
		"type=":        "the value is missing",
		"shared=maybe": `"maybe" is not a boolean`,
	} {
		if err := p.AddFilter(text); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestWhatStandsOnARecordGoesWithIt(t *testing.T) {
	all := []Record{
		{ID: "leaf", Parents: []string{"middle"}},
		{ID: "middle", Parents: []string{"base"}},
		{ID: "merged", Parents: []string{"other", "leaf"}},
		{ID: "base"},
		{ID: "other"},
	}
	got := withChildren(all, []string{"middle"})
	slices.Sort(got)
	if want := []string{"leaf", "merged", "middle"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What was imported goes when it has been there for as long as asked, and not before.
func TestPruneCoversWhatWasImportedLongEnoughAgo(t *testing.T) {
	now := time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)
	p := Prune{Unused: 24 * time.Hour}
	for age, want := range map[time.Duration]bool{0: false, 24*time.Hour - 1: false, 24 * time.Hour: true, 72 * time.Hour: true} {
		if got := p.covers(state.ImportedBuild{Imported: now.Add(-age)}, now); got != want {
			t.Errorf("imported %v ago: %v, want %v", age, got, want)
		}
	}
	if !(Prune{}).covers(state.ImportedBuild{Imported: now}, now) {
		t.Error("without an age, what was imported just now stays")
	}
}
