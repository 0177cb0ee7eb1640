package deps

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The tests' ledger keeps the first failure's exit code, and fails where a part or all of them outgrow their budget. The
// table stands before the last part.
func TestTheLedgerOfTheTests(t *testing.T) {
	// A go that lists nothing stale stands for a filled cache.
	bin := t.TempDir()
	for name, script := range map[string]string{
		"go":   "",
		"make": "echo \"ran $2\"\n[ $2 != new ] || mkdir \"$LINNET_DEPS_CACHE/component\"\n[ $2 != bad ] || exit 3\n",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		args   []string
		code   int
		output string
	}{
		"green":      {[]string{"60", "a=30", "b=30"}, 0, `ran a\n\npart \(warm\) .*\na +\d +30\nall +\d+ +60\n\nran b\n$`},
		"failed":     {[]string{"60", "a=30", "bad=30", "c=30"}, 3, `ran a\nran bad\n\npart .*\na .*\nbad .*\nall .*\n\nbad failed\n$`},
		"slow part":  {[]string{"60", "a=-1", "b=30"}, 1, `part .*\na +\d +-1  OVER\nall .*\n\nran b\nevery part is green, and not within its budget\n`},
		"slow whole": {[]string{"-1", "a=30", "b=30"}, 1, `a +\d +30\nall +\d+ +-1  OVER\n\nran b\n`},
		"cold":       {[]string{"-1", "new=-1", "b=-1"}, 0, `part \(cold\) .*\nnew +\d +-\nall +\d+ +3600\n\nran b\n$`},
	} {
		t.Run(what, func(t *testing.T) {
			cache := t.TempDir()
			cmd := exec.Command("./ledger.sh", c.args...)
			cmd.Env = append(os.Environ(), "MAKE="+filepath.Join(bin, "make"), "SLOWER=1", "LINNET_DEPS_CACHE="+cache, "LINNET_IMAGE_CACHE="+cache, "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			code := 0
			if failed := new(exec.ExitError); errors.As(err, &failed) {
				code = failed.ExitCode()
			}
			if code != c.code || !regexp.MustCompile(c.output).Match(out) {
				t.Errorf("it ends with %d, want %d: %v\n%s", code, c.code, err, out)
			}
		})
	}
}
