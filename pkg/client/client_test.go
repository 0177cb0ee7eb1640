package client

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/crossing"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/nerdctl"
	"github.com/linnet-dev/linnet/pkg/streams"
)

// far is a guest that sees only Share, with a nerdctl that is a shell script.
type far struct {
	guest         *guesttest.Fake
	share, hidden string
	environ       []string
}

func newFar(t *testing.T, script string) *far {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "nerdctl"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	f := &far{share: t.TempDir(), hidden: t.TempDir()}
	f.guest = &guesttest.Fake{
		Root: t.TempDir(), Shares: []guesttest.Share{{Host: f.share}},
		PATH: bin + ":/usr/local/bin:/usr/bin:/bin",
	}
	return f
}

// run forwards a command line typed in the shared directory.
func (f *far) run(t *testing.T, argv ...string) (stdout string, err error) {
	t.Helper()
	inv, err := nerdctl.Parse(argv)
	if err != nil {
		t.Fatal(err)
	}
	s, _, out, errs := streams.Test()
	c := &Client{Guest: f.guest, Streams: s, Environ: f.environ, Dir: f.share, Home: f.hidden, Release: func() {}}
	err = c.Exec(t.Context(), inv, nil)
	if errs.Len() > 0 {
		t.Logf("stderr: %s", errs)
	}
	return out.String(), err
}

func (f *far) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(f.hidden, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExitCodeComesBack(t *testing.T) {
	f := newFar(t, "exit 42")
	_, err := f.run(t, "ps")
	if code, ok := guest.ExitCode(err); !ok || code != 42 {
		t.Errorf("got %v, want exit code 42", err)
	}
}

func TestVariablesTravelAsData(t *testing.T) {
	f := newFar(t, `printf '%s|' "$@"; printf '%s|%s|' "$TOKEN" "$OTHER"; eval "cat <&$LINNET_VARIABLES_FD"`)
	f.environ = []string{"TOKEN=two\nlines # ", "OTHER=not asked for"}
	out, err := f.run(t, "run", "-e", "TOKEN", "image")
	if want := "run|image|||TOKEN=two\nlines # \x00"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestGarbageIsCollectedSeldomUnlessTheUserSaysOtherwise(t *testing.T) {
	for _, c := range []struct {
		environ, argv []string
		want          string
	}{
		{nil, []string{"ps"}, "400"},
		{nil, []string{"run", "image"}, "400"},
		{[]string{"GOGC=50"}, []string{"run", "image"}, "unset"},
		{nil, []string{"compose", "logs"}, "unset"},
	} {
		f := newFar(t, `printf %s "${GOGC-unset}"`)
		f.environ = c.environ
		if out, err := f.run(t, c.argv...); err != nil || out != c.want {
			t.Errorf("%q with %q: GOGC is %q, %v; want %q", c.argv, c.environ, out, err, c.want)
		}
	}
}

func TestSharedPathIsSeenElsewhere(t *testing.T) {
	f := newFar(t, `printf %s "$2"`)
	out, err := f.run(t, "run", "-v", f.share+":/src", "image")
	v, _ := f.guest.Path(f.share)
	if want := "--volume=" + v.Path + ":/src"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestHiddenBindMountIsRefused(t *testing.T) {
	f := newFar(t, "echo must not run")
	out, err := f.run(t, "run", "-v", f.hidden+":/src", "image")
	var hidden *guest.NotVisibleError
	if !errors.As(err, &hidden) || hidden.Host != f.hidden || hidden.Fix == "" || out != "" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestHiddenArchiveIsStreamedIn(t *testing.T) {
	f := newFar(t, `printf '%s|' "$@"; cat`)
	out, err := f.run(t, "load", "-i", f.file(t, "image.tar", "the archive"))
	if want := "load|the archive"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestHiddenArchiveIsStreamedOut(t *testing.T) {
	f := newFar(t, `printf %s "$*"`)
	to := filepath.Join(f.hidden, "out.tar")
	if _, err := f.run(t, "save", "-o", to, "image"); err != nil || content(t, to) != "save image" {
		t.Errorf("got %q, %v", content(t, to), err)
	}
}

// A command that fails leaves the user's file as it was, and nothing beside it.
func TestFailedOutputLeavesNothing(t *testing.T) {
	f := newFar(t, `printf half; exit 1`)
	to := f.file(t, "out.tar", "what was there")
	if _, err := f.run(t, "save", "-o", to, "image"); err == nil {
		t.Fatal("no error")
	}
	entries, err := os.ReadDir(f.hidden)
	if err != nil || len(entries) != 1 || content(t, to) != "what was there" {
		t.Errorf("%v, %v, %q", entries, err, content(t, to))
	}
}

func TestContainerIDFileComesBack(t *testing.T) {
	f := newFar(t, `for a; do case $a in --cidfile=*) printf 4711 > "${a#*=}"; echo "${a#*=}";; esac; done; exit 3`)
	to := filepath.Join(f.hidden, "cid")
	out, err := f.run(t, "run", "--cidfile", to, "image")
	if code, ok := guest.ExitCode(err); !ok || code != 3 || content(t, to) != "4711" {
		t.Errorf("%v, %q", err, content(t, to))
	}
	if _, err := os.Stat(filepath.Dir(strings.TrimSpace(out))); !os.IsNotExist(err) {
		t.Errorf("the stage %q is still there: %v", out, err)
	}
	if out, err := f.run(t, "run", "--cidfile", to, "image"); err == nil || out != "" {
		t.Errorf("an existing file was not refused: %q, %v", out, err)
	}
}

func TestHiddenEnvFileIsReadHere(t *testing.T) {
	f := newFar(t, `printf '%s|' "$@"; eval "cat <&$LINNET_VARIABLES_FD"`)
	out, err := f.run(t, "run", "--env-file", f.file(t, "env", "A=1\n"), "image")
	if want := "run|image|A=1\x00"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestDirectoryIsCopiedIn(t *testing.T) {
	f := newFar(t, `printf '%s|' "$@"; tar -t | sort | tr '\n' ' '`)
	sub := filepath.Join(f.hidden, "sub")
	if err := os.MkdirAll(filepath.Join(sub, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sub, "deep", "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("deep/file", filepath.Join(sub, "link")); err != nil {
		t.Fatal(err)
	}
	out, err := f.run(t, "cp", sub, "box:/to")
	if want := "cp|-|box:/to|sub/ sub/deep/ sub/deep/file sub/link "; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestDirectoryIsCopiedOut(t *testing.T) {
	source := t.TempDir()
	if err := os.MkdirAll(filepath.Join(source, "data", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "data", "deep", "file"), []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	f := newFar(t, "tar -C "+source+" -c data")
	if _, err := f.run(t, "cp", "box:/data", filepath.Join(f.hidden, "renamed")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, filepath.Join(f.hidden, "renamed", "deep", "file")); got != "x" {
		t.Errorf("got %q", got)
	}
	if _, err := f.run(t, "cp", "box:/data", f.hidden); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(f.hidden, "data", "deep", "file"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
}

// An archive must not write outside of where it was asked to go.
func TestArchiveStaysInside(t *testing.T) {
	for _, headers := range [][]tar.Header{
		{{Name: "../evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "link/evil", Typeflag: tar.TypeReg, Mode: 0o644}},
		{{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../secret"}},
	} {
		outer := t.TempDir()
		inner := filepath.Join(outer, "inner")
		if err := os.Mkdir(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outer, "secret"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out, err := unpackTo(&crossing.HostFile{Path: inner}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(archive.Bytes())
		if err := out.keep(); err == nil {
			t.Errorf("%s was written", headers[len(headers)-1].Name)
		}
		entries, _ := os.ReadDir(outer)
		names := []string{}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if !slices.Equal(names, []string{"inner", "secret"}) {
			t.Errorf("%s: outside there is %v", headers[len(headers)-1].Name, names)
		}
	}
}

func TestPruneRemovesWhatDoesNotRun(t *testing.T) {
	const script = `case "$*" in
*" ps "*|"ps "*) printf 'one Up\ntwo Exited (0) 1 hour ago\nthree Created\n' ;;
*) shift; for id; do case $id in -*) ;; two) echo two ;; *) echo "$id is not there" >&2; code=1 ;; esac; done; exit $code ;;
esac`
	f := newFar(t, script)
	out, err := f.run(t, "container", "prune", "-f")
	if want := "Deleted Containers:\ntwo\n\n"; err != nil || out != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	if out, err := f.run(t, "container", "prune"); err == nil {
		t.Errorf("no engine answers, and it went on: %q", out)
	}
}
