package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/linnet-dev/linnet/config"
)

// Whatever a file holds: no panic, problems on lines that exist and that fit on one line each,
// and settings only without problems. It must also come to an end.
func FuzzRead(f *testing.F) {
	f.Add([]byte(config.LinnetYAML()))
	for _, seed := range []string{
		"backend: lima\n", "engine: {subnet: 10.0.0.0/8, hostsDirs: [/a]}", "a: &x\nb: *x", "<<: {a: b}", "? x\n: y",
		"backend: |\n  auto\n", "engine:\n  logSi", "{", "[", "- a", "\t", "'", "\x00", "---\n---\n", "!!map {}", "%YAML 1.2\n---\na: b",
		"build:\n  cacheSize: 99999999999999999999GiB\n  cacheAge: 9999999999999999d", "log: {level: \"a\\nb\"}", "\"a\\nb\": 1",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return // the parser takes quadratic time; the limit on files bounds it
		}
		watchdog := time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("no end with %q", data)) })
		defer watchdog.Stop()
		path := filepath.Join(dir, "linnet.yaml")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Read(Input{Facts: Facts{Home: dir}, Path: path})
		if (s == nil) == (err == nil) {
			t.Fatalf("settings %v and error %v", s, err)
		}
		if err == nil {
			return
		}
		lines := strings.Count(string(data), "\n") + 1
		var problems Problems
		if !errors.As(err, &problems) {
			t.Fatalf("%v is not Problems", err)
		}
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines {
				t.Errorf("line %d of %d: %v", p.Line, lines, p)
			}
			if strings.ContainsFunc(p.Error()+p.Hint, unicode.IsControl) {
				t.Errorf("control characters in %q, hint %q", p.Error(), p.Hint)
			}
			if p.Text == "" {
				t.Errorf("nothing is said: %+v", p)
			}
		}
	})
}
