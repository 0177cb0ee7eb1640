package buildcmd

import (
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/diskusage"
)

func TestDiskUsageIsShownAsByDocker(t *testing.T) {
	rows := []diskusage.Row{
		{Type: diskusage.Images, Total: 2, Active: 1, Size: 2_000_000, Reclaimable: 500_000},
		{Type: diskusage.Containers},
		{Type: diskusage.BuildCache, Total: 3, Size: 1000, Reclaimable: 1000},
	}
	for format, want := range map[string]string{
		"": "TYPE\tTOTAL\tACTIVE\tSIZE\tRECLAIMABLE\nImages\t2\t1\t2MB\t500kB (25%)\nContainers\t0\t0\t0B\t0B\nBuild Cache\t3\t0\t1kB\t1kB\n",
		"json": `{"Type":"Images","TotalCount":"2","Active":"1","Size":"2MB","Reclaimable":"500kB (25%)"}` + "\n" +
			`{"Type":"Containers","TotalCount":"0","Active":"0","Size":"0B","Reclaimable":"0B"}` + "\n" +
			`{"Type":"Build Cache","TotalCount":"3","Active":"0","Size":"1kB","Reclaimable":"1kB"}` + "\n",
		"{{.Type}}: {{.Size}}":             "Images: 2MB\nContainers: 0B\nBuild Cache: 1kB\n",
		`table {{.Type}}\t{{.TotalCount}}`: "TYPE\tTOTAL\nImages\t2\nContainers\t0\nBuild Cache\t3\n",
	} {
		var out strings.Builder
		if err := showRows(&out, false, format, rows); err != nil || out.String() != want {
			t.Errorf("%q: %v\n%q\nwant\n%q", format, err, out.String(), want)
		}
	}
	for _, format := range []string{"{{", "{{.Nope}}"} {
		var out strings.Builder
		if err := showRows(&out, false, format, rows); err == nil || !strings.Contains(err.Error(), "--format") || out.Len() > 0 {
			t.Errorf("%q: %v, %q", format, err, out.String())
		}
	}
}

// A format that is none is refused before an engine is asked.
func TestFormatsOfDiskUsage(t *testing.T) {
	for _, c := range []struct {
		format  string
		verbose bool
		good    bool
	}{
		{"", false, true},
		{"", true, true},
		{"json", true, true},
		{"table {{.Type}}", false, true},
		{"{{.Nope}}", false, false},
		{"{{", false, false},
		{"{{.Type}}", true, false},
	} {
		if err := checkDfFormat(c.format, c.verbose); (err == nil) != c.good {
			t.Errorf("%q, verbose %t: %v", c.format, c.verbose, err)
		}
	}
}
