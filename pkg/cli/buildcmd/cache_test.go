package buildcmd

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/build/cache"
)

var someRecords = []cache.Record{
	{ID: "aaa111", Kind: cache.Layer, From: "[2/3] RUN make", Size: 3_000_000, Shared: true},
	{ID: "aab222", Kind: cache.Mount, Mount: "go", Project: "shop", Size: 2_000_000},
	{ID: "aac333", Kind: cache.Mount, Mount: "go", Project: "shop", Size: 1_000_000},
	{ID: "bbb444", Kind: cache.Mount, Mount: "go", Project: "desk", Size: 500_000},
	{ID: "ccc555", Kind: cache.Mount, Mount: "/root/.npm", Size: 400_000, InUse: true},
}

func TestARecordIsNamedByItsIDOrACacheMountsName(t *testing.T) {
	for _, c := range []struct {
		word, project string
		ofProject     bool
		want          []string
		err           string
	}{
		{word: "aaa111", want: []string{"aaa111"}},
		{word: "b", want: []string{"bbb444"}},
		{word: "aa", err: "3 records begin so"},
		{word: "/root/.npm", want: []string{"ccc555"}},
		{word: "go", err: "2 projects have such a cache mount"},
		{word: "go", project: "shop", ofProject: true, want: []string{"aab222", "aac333"}},
		{word: "go", project: "", ofProject: true, err: "there is no such record or cache mount"},
		{word: "npm", err: "there is no such record or cache mount"},
	} {
		got, err := find(someRecords, c.word, c.project, c.ofProject)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || (err != nil && !strings.HasSuffix(err.Error(), c.err)) {
			t.Errorf("%s of %q: got %v, %v", c.word, c.project, got, err)
		}
	}
}

func TestUsageIsByKindAndByCacheMount(t *testing.T) {
	var out bytes.Buffer
	if err := listUsage(&out, false, newUsage(someRecords)); err != nil {
		t.Fatal(err)
	}
	want := `TYPE	RECORDS	SIZE	RECLAIMABLE
layers	1	3MB	0B
cache mounts	4	3.9MB	3.5MB
context copies	0	0B	0B
git checkouts	0	0B	0B
the builder's own	0	0B	0B
imported	0	0B	0B
total	5	6.9MB	3.5MB

CACHE MOUNT	PROJECT	SIZE
go	shop	3MB
go	desk	500kB
/root/.npm	(all)	400kB
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestPruneReadsSizesAndRefusesAnotherBuilder(t *testing.T) {
	f := pruneFlags{reserved: "10GB", most: "1k", filters: []string{"until=1h"}}
	p, err := f.prune()
	if err != nil || p.Reserved != 10<<30 || p.Most != 1024 || p.Unused.Hours() != 1 || p.Mounts || p.All {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, f := range []pruneFlags{{reserved: "lots"}, {builder: "mine"}, {filters: []string{"x=y"}}} {
		if p, err := f.prune(); err == nil {
			t.Errorf("%+v was taken: %+v", f, p)
		}
	}
}
