package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

func unzip(t *testing.T, text []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// Every command of the tables has a page and a part of the reference, with its flags, in linnet's name; the same tables give the same bytes,
// and no path of the machine shows.
func TestPagesAreOfEveryCommand(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	files, err := pages(t.Context(), "1.2.3", day)
	if err != nil {
		t.Fatal(err)
	}
	reference := string(files["doc/linnet/commands.md"])
	var visit func(path []string, c *nerdctl.Command)
	visit = func(path []string, c *nerdctl.Command) {
		for _, sub := range c.Commands {
			if sub.Hidden || sub.Deprecated != "" || len(path) == 1 && (sub.Name == "completion" || sub.Name == "help") {
				continue
			}
			name := strings.Join(path, "-") + "-" + sub.Name
			if files["man/man1/"+name+".1.gz"] == nil {
				t.Errorf("there is no page %s", name)
			}
			if heading := "\n## " + strings.Join(append(slices.Clone(path), sub.Name), " ") + "\n"; !strings.Contains(reference, heading) {
				t.Errorf("the reference has no %s", name)
			}
			visit(append(slices.Clone(path), sub.Name), sub)
		}
	}
	visit([]string{"linnet"}, nerdctl.Root())
	for name, want := range map[string]string{
		"linnet":               `"linnet 1.2.3"`,
		"linnet-run":           `\fB--publish\fP`,
		"linnet-build":         `\fB--secret\fP`,
		"linnet-cache":         "linnet-cache-prune",
		"linnet-compose-build": `\fB--check\fP`,
		"linnet-compose-up":    `\fB--detach\fP`,
		"linnet-lint":          `\fB--fail-on\fP`,
		"linnet-uninstall":     `\fB--keep-data\fP`,
	} {
		page := unzip(t, files["man/man1/"+name+".1.gz"])
		if !strings.Contains(page, want) {
			t.Errorf("%s has no %s: %s", name, want, page)
		}
	}
	for _, name := range completions {
		if len(files[name]) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	again, err := pages(t.Context(), "1.2.3", day)
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(again))) {
		t.Fatalf("the second time there are other files, %v", err)
	}
	for name, text := range files {
		if !bytes.Equal(text, again[name]) {
			t.Errorf("%s has other bytes the second time", name)
		}
		if bytes.Contains(text, []byte(dir)) {
			t.Errorf("%s shows a directory of this machine", name)
		}
	}
}
