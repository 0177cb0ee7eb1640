package volume

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var then = time.Unix(1_500_000_000, 123_000_000)

// pack makes an archive; every entry is this user's, whom an ordinary test may give files to.
func pack(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range entries {
		text := h.Uname // carries the content
		h.Uname, h.Uid, h.Gid, h.Format = "somebody", os.Getuid(), os.Getgid(), tar.FormatPAX
		if h.ModTime.IsZero() {
			h.ModTime = then
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// volumeDir is a volume's directory in the volume's own.
func volumeDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "_data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t *testing.T, archive []byte, args ...string) (code int, errs string) {
	t.Helper()
	var text strings.Builder
	return Main(t.Context(), args, bytes.NewReader(archive), &text), text.String()
}

func TestFilesAreAsTheyWere(t *testing.T) {
	sparse := "begin" + strings.Repeat("\x00", 4<<20) + "end"
	archive := pack(t,
		tar.Header{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o750},
		tar.Header{Name: "top/locked/", Typeflag: tar.TypeDir, Mode: 0o1500},
		tar.Header{Name: "top/locked/set", Typeflag: tar.TypeReg, Mode: 0o4755, Uname: "program"},
		tar.Header{Name: "top/again", Typeflag: tar.TypeLink, Linkname: "top/locked/set"},
		tar.Header{Name: "top/link", Typeflag: tar.TypeSymlink, Linkname: "/nowhere"},
		tar.Header{Name: "top/pipe", Typeflag: tar.TypeFifo, Mode: 0o620},
		tar.Header{Name: "top/sparse", Typeflag: tar.TypeReg, Mode: 0o644, Uname: sparse},
		tar.Header{Name: "top/zeros", Typeflag: tar.TypeReg, Mode: 0o644, Uname: strings.Repeat("\x00", 10_000)},
		tar.Header{Name: "top/empty", Typeflag: tar.TypeReg, Mode: 0o200},
	)
	dir := volumeDir(t)
	if code, errs := run(t, archive, "unpack", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for name, mode := range map[string]uint32{".": 0o40750, "locked": 0o41500, "locked/set": 0o104755, "again": 0o104755, "link": 0o120777, "pipe": 0o10620, "sparse": 0o100644, "empty": 0o100200} {
		var s syscall.Stat_t
		if err := syscall.Lstat(filepath.Join(dir, name), &s); err != nil || s.Mode != mode {
			t.Errorf("%s: mode %o, %v; want %o", name, s.Mode, err, mode)
		}
		if at := time.Unix(s.Mtim.Unix()); !at.Equal(then) {
			t.Errorf("%s: changed at %v, want %v", name, at, then)
		}
	}
	for name, want := range map[string]string{"again": "program", "sparse": sparse, "zeros": strings.Repeat("\x00", 10_000), "empty": ""} {
		if name == "empty" && os.Getuid() != 0 {
			continue // may not be read
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	one, two := stat(t, dir+"/locked/set"), stat(t, dir+"/again")
	if one.Ino != two.Ino || one.Nlink != 2 {
		t.Errorf("the hard link is another file")
	}
	if used := stat(t, dir+"/sparse").Blocks * 512; used > 1<<20 {
		t.Errorf("a file with a hole takes %d bytes", used)
	}
}

func stat(t *testing.T, path string) (s syscall.Stat_t) {
	t.Helper()
	if err := syscall.Lstat(path, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// What came in part is not taken for whole, and the next time begins anew.
func TestAVolumeIsWholeOnceThatWasSaid(t *testing.T) {
	dir := volumeDir(t)
	top := tar.Header{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o755}
	long := pack(t, top, tar.Header{Name: "top/one", Typeflag: tar.TypeReg, Mode: 0o644, Uname: strings.Repeat("x", 5000)})
	if code, _ := run(t, nil, "whole", dir); code != NotWhole {
		t.Errorf("an empty volume: exit code %d", code)
	}
	code, errs := run(t, long[:len(long)-4000], "unpack", dir)
	if code != 1 || errs != "linnet-agent: unpacking \"top/one\": unexpected EOF\n" {
		t.Errorf("an archive that was cut: exit code %d, %q", code, errs)
	}
	if code, errs := run(t, long, "unpack", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, _ := run(t, nil, "whole", dir); code != NotWhole {
		t.Errorf("before finish: exit code %d", code)
	}
	if code, errs := run(t, nil, "finish", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, errs := run(t, nil, "whole", dir); code != 0 {
		t.Errorf("after finish: exit code %d, %s", code, errs)
	}
	other := pack(t, top, tar.Header{Name: "top/two", Typeflag: tar.TypeReg, Mode: 0o644})
	if code, errs := run(t, other, "unpack", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if code, _ := run(t, nil, "whole", dir); code != NotWhole {
		t.Errorf("while it is filled anew: exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "one")); !os.IsNotExist(err) {
		t.Errorf("what was there stays: %v", err)
	}
}

// An archive cannot write anywhere else.
func TestArchivesStayInside(t *testing.T) {
	top := tar.Header{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o755}
	out := t.TempDir()
	for what, archive := range map[string][]byte{
		"another directory": pack(t, top, tar.Header{Name: "other/f", Typeflag: tar.TypeReg, Mode: 0o644}),
		"dots":              pack(t, top, tar.Header{Name: "top/../../f", Typeflag: tar.TypeReg, Mode: 0o644}),
		"a link":            pack(t, top, tar.Header{Name: "top/l", Typeflag: tar.TypeSymlink, Linkname: out}, tar.Header{Name: "top/l/f", Typeflag: tar.TypeReg, Mode: 0o644}),
		"a hard link":       pack(t, top, tar.Header{Name: "top/h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"nothing":           pack(t),
	} {
		if code, errs := run(t, archive, "unpack", volumeDir(t)); code != 1 || errs == "" {
			t.Errorf("%s: exit code %d, %q", what, code, errs)
		}
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v, %v", left, err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"unpack"}, {"unpack", "relative"}, {"other", "/dir"}, {"unpack", "/a", "/b"}} {
		if code, errs := run(t, nil, args...); code != 2 || errs != "usage: "+Usage+"\n" {
			t.Errorf("%q: exit code %d, %q", args, code, errs)
		}
	}
}
