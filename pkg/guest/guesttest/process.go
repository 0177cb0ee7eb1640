package guesttest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

var processCases = []testCase{
	{"ExitCodes", exitCodes},
	{"SignalDeath", signalDeath},
	{"NoSuchProgram", noSuchProgram},
	{"Argv", argv},
	{"Environment", environment},
	{"EnvironmentNames", environmentNames},
	{"EnvironmentIsAdded", environmentIsAdded},
	{"Variables", variables},
	{"WorkingDirectory", workingDirectory},
	{"NoSuchDirectory", noSuchDirectory},
}

func exitCodes(t *testing.T, s *suite) {
	for _, want := range []int{0, 1, 2, 125, 126, 127, 128, 137, 255} {
		if code, _, stderr := s.run(t, s.sh(fmt.Sprintf("exit %d", want))); code != want {
			t.Errorf("exit %d came back as %d, stderr %q", want, code, stderr)
		}
	}
}

func signalDeath(t *testing.T, s *suite) {
	for name, number := range map[string]int{"KILL": 9, "TERM": 15, "HUP": 1, "USR1": 10} {
		if name == "USR1" {
			number = sigusr1(t, s)
		}
		if code, _, _ := s.run(t, s.sh("kill -s "+name+" $$")); code != 128+number {
			t.Errorf("death by SIG%s came back as %d, want %d", name, code, 128+number)
		}
	}
}

// sigusr1 is the one number here that is not the same on every system.
func sigusr1(t *testing.T, s *suite) int {
	t.Helper()
	if s.output(t, "uname") == "Darwin\n" {
		return 30
	}
	return 10
}

func noSuchProgram(t *testing.T, s *suite) {
	for _, name := range []string{"guesttest-no-such-program", "/no/such/program", "/dev/null", ""} {
		err := s.guest.Run(s.context(t), guest.Process{Argv: []string{name}})
		if err == nil {
			t.Errorf("running %q succeeded", name)
			continue
		}
		if code, ok := guest.ExitCode(err); ok {
			t.Errorf("%q could not be run, but is said to have run and ended with %d", name, code)
		}
		if !strings.Contains(err.Error(), name) {
			t.Errorf("running %q: the error %q does not name it", name, err)
		}
	}
	if err := s.guest.Run(s.context(t), guest.Process{}); err == nil {
		t.Error("running nothing succeeded")
	}
}

// hostileTexts survive no shell, no line-based format and no C-like unquoting.
var hostileTexts = []string{
	"", "plain", " leading and trailing ", "two\nlines\n", "\n", "tab\t", "\r\n", `'single'`, `"double"`, "`tick`",
	"$HOME ${HOME} $(echo no) $$", `back\slash \n \\ \`, "-n", "--", "-c", "--flag=value", "*", "~", "a;b|c&d>e<f", "#comment", "!history", "%s%n",
	"ünïcödé 日本語 🐦", "=", "a=b", "\x01\x1b[31m\x7f", "{{.Name}}", "[]", "@file",
}

// texts leaves out what a container's configuration, which is JSON, cannot hold.
func (s *suite) texts() []string {
	if s.wrap != nil {
		return hostileTexts
	}
	return append([]string{"\xff\xfe invalid \x80 UTF-8", "\xed\xa0\x80"}, hostileTexts...)
}

func argv(t *testing.T, s *suite) {
	want := append(s.texts(), "")
	got := strings.Split(s.output(t, `printf '%s\0' "$@"`, want...), "\x00")
	if got = got[:len(got)-1]; !slices.Equal(got, want) {
		t.Errorf("%d arguments arrived for %d:\n got %q\nwant %q", len(got), len(want), got, want)
	}
	if n := s.output(t, `echo $#`); n != "0\n" {
		t.Errorf("no arguments arrived as %q", n)
	}
}

// show prints the variables that its arguments name, each followed by a NUL.
const show = `for n in "$@"; do eval "printf '%s\\0' \"\${$n}\""; done`

func environment(t *testing.T, s *suite) {
	want := map[string]string{
		"GT_LONG":  strings.Repeat("0123456789abcdef\n", 100<<10/17),
		"GT_TRAIL": "trailing space  ",
	}
	for i, text := range s.texts() {
		want[fmt.Sprintf("GT_%d", i)] = text
	}
	names := slices.Sorted(maps.Keys(want))
	p := s.sh(show+"; read -r ack", names...)
	for _, n := range names {
		p.Env = append(p.Env, n+"="+want[n])
	}
	code, out, stderr := s.acknowledged(t, p, func(out, _ string) bool { return strings.Count(out, "\x00") >= len(names) })
	got := strings.Split(out, "\x00")
	if code != 0 || len(got) != len(names)+1 {
		t.Fatalf("exit code %d, %d values for %d, stderr %q", code, len(got)-1, len(names), stderr)
	}
	for i, n := range names {
		if got[i] != want[n] {
			t.Errorf("%s: %d bytes arrived for %d:\n got %.200q\nwant %.200q", n, len(got[i]), len(want[n]), got[i], want[n])
		}
	}
}

// variables reads a container's variables as the program does that makes one.
func variables(t *testing.T, s *suite) {
	p := s.sh(`eval "exec cat <&$LINNET_VARIABLES_FD"`)
	p.Variables = []string{"GT_BARE", "GT_LONG=" + strings.Repeat("x", 300<<10), "PATH=/none", "-----BEGIN KEY-----=a\nb\n"}
	for i, text := range hostileTexts {
		p.Variables = append(p.Variables, fmt.Sprintf("GT_%d=%s", i, text))
	}
	code, out, stderr := s.run(t, p)
	if want := strings.Join(p.Variables, "\x00") + "\x00"; code != 0 || out != want {
		t.Errorf("exit code %d, %d bytes for %d, different at %d, stderr %q", code, len(out), len(want), diff(out, want), stderr)
	}
	p = guest.Process{Argv: []string{"env"}, Variables: []string{"GT_VARIABLE=1", "LD_PRELOAD=/none"}}
	if code, out, stderr := s.run(t, p); code != 0 || strings.Contains(out, "GT_VARIABLE") || strings.Contains(out, "/none") {
		t.Errorf("exit code %d, and the environment has them: %q, stderr %q", code, out, stderr)
	}
	if out := s.output(t, `echo "${LINNET_VARIABLES_FD-none}"`); out != "none\n" {
		t.Errorf("without variables there is a descriptor: %q", out)
	}
}

// environmentNames asks env, because shells keep only the names that they like.
func environmentNames(t *testing.T, s *suite) {
	p := guest.Process{Argv: []string{"env", "-0"}, Env: []string{"gt.dotted-name=1", "GT_EMPTY=", "gt lower=two\n"}}
	code, out, stderr := s.run(t, p)
	if code != 0 {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	got := strings.Split(out, "\x00")
	for _, e := range p.Env {
		if n := count(got, e); n != 1 {
			t.Errorf("%q is there %d times in %q", e, n, got)
		}
	}
}

func count(list []string, item string) (n int) {
	for _, l := range list {
		if l == item {
			n++
		}
	}
	return n
}

func environmentIsAdded(t *testing.T, s *suite) {
	before := s.output(t, `printf %s "$PATH"`)
	if before == "" {
		t.Error("the guest's own PATH is empty")
	}
	p := s.sh(`printf '%s:%s' "$HOME" "$PATH"`)
	p.Env = []string{"HOME=/over/there"}
	if _, out, _ := s.run(t, p); out != "/over/there:"+before {
		t.Errorf("with HOME set, HOME:PATH is %q; PATH was %q", out, before)
	}
}

func workingDirectory(t *testing.T, s *suite) {
	dir := filepath.Join(s.scratch(t), "a 'b' $c\\ d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "marker"), []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := s.sh("cat marker")
	p.Dir = s.visible(t, dir).Path
	if code, out, stderr := s.run(t, p); code != 0 || out != "here" {
		t.Errorf("in %q: exit code %d, output %q, stderr %q", p.Dir, code, out, stderr)
	}
	p.Argv, p.Dir = s.sh("pwd").Argv, "/"
	if _, out, _ := s.run(t, p); out != "/\n" {
		t.Errorf("in /: pwd says %q", out)
	}
}

func noSuchDirectory(t *testing.T, s *suite) {
	p := s.sh("exit 0")
	p.Dir = "/no/such/directory"
	err := s.guest.Run(s.context(t), p)
	if _, ran := guest.ExitCode(err); err == nil || ran || !strings.Contains(err.Error(), p.Dir) {
		t.Errorf("running in %s: %v; want an error that names it and is no exit code", p.Dir, err)
	}
}
