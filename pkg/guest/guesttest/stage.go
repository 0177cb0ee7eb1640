package guesttest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/linnet-dev/linnet/pkg/guest"
)

var stageCases = []testCase{
	{"StageFiles", stageFiles},
	{"StageModes", stageModes},
	{"StageIsPrivate", stageIsPrivate},
	{"StageComesBack", stageComesBack},
	{"StageNames", stageNames},
	{"StageBrokenInput", stageBrokenInput},
	{"StageRemoval", stageRemoval},
	{"StagesApart", stagesApart},
}

func (s *suite) stage(t *testing.T) guest.Stage {
	t.Helper()
	st, err := s.guest.Stage(s.context(t))
	if err != nil {
		t.Fatalf("making a stage: %v", err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func (s *suite) put(t *testing.T, st guest.Stage, name string, mode fs.FileMode, data string) string {
	t.Helper()
	file, err := st.Put(s.context(t), name, mode, strings.NewReader(data))
	if err != nil {
		t.Fatalf("putting %s: %v", name, err)
	}
	return file
}

func stageFiles(t *testing.T, s *suite) {
	st := s.stage(t)
	data := string(noise())
	for _, name := range []string{"plain", "with space", "-dash", "ünï", "a.b"} {
		file := s.put(t, st, name, 0o600, data)
		if file != st.Path(name) || !path.IsAbs(file) {
			t.Errorf("Put says %q, Path says %q", file, st.Path(name))
		}
		if out := s.output(t, `cat "$1"`, file); out != data {
			t.Errorf("%s: %d of %d bytes, different at %d", name, len(out), len(data), diff(out, data))
		}
	}
	if out := s.output(t, `wc -c <"$1"`, s.put(t, st, "empty", 0o600, "")); strings.TrimSpace(out) != "0" {
		t.Errorf("an empty file has %s bytes", out)
	}
}

// perm is a script that prints its argument's mode in octal, on any system.
const perm = `stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1"`

func stageModes(t *testing.T, s *suite) {
	st := s.stage(t)
	for mode, want := range map[fs.FileMode]string{
		0o600: "600\n", 0o400: "400\n", 0o644: "644\n", 0o755: "755\n", 0o777: "777\n", 0o666: "666\n", 0o640: "640\n",
	} {
		if got := s.output(t, perm, s.put(t, st, "f"+want[:3], mode, "x")); got != want {
			t.Errorf("a file put with %s has mode %s", want, got)
		}
	}
	script := s.put(t, st, "script", 0o700, "#!/bin/sh\necho ran\n")
	if out := s.output(t, `sh "$1"`, script); out != "ran\n" {
		t.Errorf("output %q", out)
	}
}

func stageIsPrivate(t *testing.T, s *suite) {
	st := s.stage(t)
	dir := path.Dir(s.put(t, st, "secret", 0o600, "x"))
	if got := s.output(t, perm, dir); got != "700\n" {
		t.Errorf("the directory has mode %s", got)
	}
	if s.output(t, "uname") != "Linux\n" {
		t.Skip("no file system in memory to ask for")
	}
	if kind := s.output(t, `stat -f -c %T "$1"`, dir); kind != "tmpfs\n" && kind != "ramfs\n" {
		t.Errorf("the directory is on %s, not in memory", kind)
	}
}

func stageComesBack(t *testing.T, s *suite) {
	st := s.stage(t)
	s.output(t, `printf 'made\000over there' >"$1"`, st.Path("made"))
	if got := s.get(t, st, "made"); got != "made\x00over there" {
		t.Errorf("got %q", got)
	}
	s.put(t, st, "both", 0o600, "mine, ")
	s.output(t, `printf theirs >>"$1"`, st.Path("both"))
	if got := s.get(t, st, "both"); got != "mine, theirs" {
		t.Errorf("got %q", got)
	}
	if _, err := st.Get(s.context(t), "absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("getting an absent file: %v", err)
	}
	data := string(noise())
	p := s.sh(`cat >"$1"`, st.Path("large"))
	p.Stdin = strings.NewReader(data)
	if code, _, stderr := s.run(t, p); code != 0 {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	if got := s.get(t, st, "large"); got != data {
		t.Errorf("%d of %d bytes came back, different at %d", len(got), len(data), diff(got, data))
	}
}

func (s *suite) get(t *testing.T, st guest.Stage, name string) string {
	t.Helper()
	r, err := st.Get(s.context(t), name)
	if err != nil {
		t.Fatalf("getting %s: %v", name, err)
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, r); err != nil {
		t.Fatalf("getting %s: %v", name, err)
	}
	return b.String()
}

// stageNames must not lead out of the stage.
func stageNames(t *testing.T, s *suite) {
	st := s.stage(t)
	for _, name := range []string{"", ".", "..", "../outside", "/absolute", "sub/file", "a\x00b"} {
		if file, err := st.Put(s.context(t), name, 0o600, strings.NewReader("x")); err == nil {
			t.Errorf("putting %q succeeded, as %q", name, file)
		}
		if r, err := st.Get(s.context(t), name); err == nil {
			_ = r.Close()
			t.Errorf("getting %q succeeded", name)
		}
	}
}

// stageBrokenInput must leave no half of a secret for a command to use.
func stageBrokenInput(t *testing.T, s *suite) {
	st := s.stage(t)
	broken := errors.New("input broke")
	in := io.MultiReader(strings.NewReader("the first half"), iotest.ErrReader(broken))
	if _, err := st.Put(s.context(t), "half", 0o600, in); !errors.Is(err, broken) {
		t.Errorf("putting from a broken input: %v", err)
	}
	if out := s.output(t, `cat "$1" 2>/dev/null; true`, st.Path("half")); out != "" {
		t.Errorf("it left %q", out)
	}
}

func stageRemoval(t *testing.T, s *suite) {
	st := s.stage(t)
	file := s.put(t, st, "secret", 0o400, "x")
	s.output(t, `mkdir "$1" && echo y >"$1/z"`, st.Path("sub"))
	if err := st.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if out := s.output(t, `for f in "$@"; do if test -e "$f"; then echo "$f"; fi; done`, file, path.Dir(file)); out != "" {
		t.Errorf("still there: %q", out)
	}
}

func stagesApart(t *testing.T, s *suite) {
	a, b := s.stage(t), s.stage(t)
	fa, fb := s.put(t, a, "same", 0o600, "a"), s.put(t, b, "same", 0o600, "b")
	if out := s.output(t, `cat "$1" "$2"`, fa, fb); out != "ab" {
		t.Errorf("%q and %q hold %q", fa, fb, out)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if out := s.output(t, `cat "$1"`, fb); out != "b" {
		t.Errorf("after the other was closed: %q", out)
	}
}
