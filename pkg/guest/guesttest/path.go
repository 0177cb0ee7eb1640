package guesttest

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
)

var pathCases = []testCase{
	{"PathSeen", pathSeen},
	{"PathOfLinks", pathOfLinks},
	{"PathNotYetThere", pathNotYetThere},
	{"PathHidden", pathHidden},
	{"PathReadOnly", pathReadOnly},
}

// scratch makes a new directory that the guest sees.
func (s *suite) scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(s.ShareDir, "guesttest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *suite) visible(t *testing.T, host string) guest.Visible {
	t.Helper()
	v, err := s.guest.Path(host)
	if err != nil {
		t.Fatalf("finding the path of %s: %v", host, err)
	}
	if !path.IsAbs(v.Path) || path.Clean(v.Path) != v.Path {
		t.Errorf("the path of %s is %q; want an absolute, clean one", host, v.Path)
	}
	return v
}

func write(t *testing.T, file, data string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func pathSeen(t *testing.T, s *suite) {
	dir := s.scratch(t)
	v := s.visible(t, write(t, filepath.Join(dir, "a file"), "from the host"))
	if v.ReadOnly {
		t.Errorf("%s is read-only", v.Path)
	}
	if out := s.output(t, `cat "$1"; printf ', answered' >>"$1"`, v.Path); out != "from the host" {
		t.Errorf("over there it holds %q", out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a file")); err != nil || string(got) != "from the host, answered" {
		t.Errorf("over here it holds %q, %v", got, err)
	}
	if d := s.visible(t, dir+"/.//"); d != s.visible(t, dir) {
		t.Errorf("an unclean spelling is %v", d)
	}
	// Whether an absent directory can be left again is the guest's choice, what comes out is not.
	if d, err := s.guest.Path(dir + "/absent/.."); err == nil && d != s.visible(t, dir) {
		t.Errorf("through an absent directory and back is %v", d)
	}
	if v, err := s.guest.Path("relative/path"); err == nil {
		t.Errorf("a relative path is seen as %v", v)
	}
}

func pathOfLinks(t *testing.T, s *suite) {
	dir := s.scratch(t)
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(dir, "real", "file"), "x")
	for link, target := range map[string]string{"dir": "real", "abs": filepath.Join(dir, "real"), "chain": "dir"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := s.visible(t, file)
	for _, link := range []string{"dir", "abs", "chain"} {
		if got := s.visible(t, filepath.Join(dir, link, "file")); got != want {
			t.Errorf("by %s it is %v, want %v", link, got, want)
		}
	}
	if err := os.Symlink(file, filepath.Join(dir, "leaf")); err != nil {
		t.Fatal(err)
	}
	if got := s.visible(t, filepath.Join(dir, "leaf")); got != want {
		t.Errorf("a link to the file is %v, want %v", got, want)
	}
}

func pathNotYetThere(t *testing.T, s *suite) {
	dir := s.scratch(t)
	v := s.visible(t, filepath.Join(dir, "new"))
	s.output(t, `printf made >"$1"`, v.Path)
	if got, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(got) != "made" {
		t.Errorf("over here it holds %q, %v", got, err)
	}
	deep := s.visible(t, filepath.Join(dir, "no", "parent"))
	s.output(t, `mkdir -p "$(dirname "$1")" && printf made >"$1"`, deep.Path)
	if got, err := os.ReadFile(filepath.Join(dir, "no", "parent")); err != nil || string(got) != "made" {
		t.Errorf("without a parent, over here it holds %q, %v", got, err)
	}
}

func pathHidden(t *testing.T, s *suite) {
	if s.HiddenDir == "" {
		for _, dir := range []string{"/", t.TempDir(), os.TempDir()} {
			if v := s.visible(t, dir); v.ReadOnly {
				t.Errorf("%s is read-only", dir)
			}
		}
		return
	}
	file := write(t, filepath.Join(s.HiddenDir, "guesttest-hidden"), "x")
	t.Cleanup(func() { _ = os.Remove(file) })
	link := filepath.Join(s.scratch(t), "link")
	if err := os.Symlink(s.HiddenDir, link); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{s.HiddenDir, file, filepath.Join(s.HiddenDir, "new"), link, filepath.Join(link, "guesttest-hidden")} {
		v, err := s.guest.Path(host)
		var hidden *guest.NotVisibleError
		if !errors.As(err, &hidden) {
			t.Errorf("%s: %v, %v; want a NotVisibleError", host, v, err)
			continue
		}
		if hidden.Host != host || hidden.Reason == "" {
			t.Errorf("%s: the error says %+v", host, hidden)
		}
	}
}

func pathReadOnly(t *testing.T, s *suite) {
	if s.ReadOnlyDir == "" {
		t.Skip("Target.ReadOnlyDir is not set")
	}
	v := s.visible(t, s.ReadOnlyDir)
	if !v.ReadOnly {
		t.Errorf("%s is not read-only", v.Path)
	}
	if sub := s.visible(t, filepath.Join(s.ReadOnlyDir, "new")); !sub.ReadOnly {
		t.Errorf("%s is not read-only", sub.Path)
	}
	if code, _, _ := s.run(t, s.sh(`ls "$1" && : >"$1/guesttest-written"`, v.Path)); code == 0 {
		t.Errorf("%s can be written to", v.Path)
	}
	if code, _, stderr := s.run(t, s.sh(`ls "$1"`, v.Path)); code != 0 {
		t.Errorf("%s cannot be read: %s", v.Path, stderr)
	}
}
