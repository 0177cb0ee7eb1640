package client

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/crossing"
)

// archived is an archive of entries that are named NAME, NAME/, NAME->TARGET or NAME=>TARGET, which is a hard link.
func archived(t *testing.T, mode int64, names ...string) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range names {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(name)), ModTime: time.Unix(1000, 0)}
		link, target, isLink := strings.Cut(name, "->")
		hard, to, isHard := strings.Cut(name, "=>")
		switch {
		case isHard:
			h.Name, h.Linkname, h.Typeflag, h.Size = hard, to, tar.TypeLink, 0
		case isLink:
			h.Name, h.Linkname, h.Typeflag, h.Size = link, target, tar.TypeSymlink, 0
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Size = tar.TypeDir, 0
		case strings.HasSuffix(name, "device"):
			h.Typeflag, h.Size = tar.TypeChar, 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// Where a copy goes, as with cp: into a directory that is there, as what is not, in the place of a file.
func TestWhereACopyGoes(t *testing.T) {
	for _, c := range []struct {
		dst     string
		entries []string
		want    string // the files below the directory, by space, or the error
	}{
		{"dir", []string{"data/", "data/a", "data/sub/", "data/sub/b"}, "dir/data/a dir/data/sub/b file"},
		{"new", []string{"data/", "data/a"}, "file new/a"},
		{"new", []string{"./", "./a", "./sub/", "./sub/b"}, "file new/a new/sub/b"},
		{"dir/.", []string{"./", "./a"}, "dir/a file"},
		{"new", []string{"name"}, "file new"},
		{"file", []string{"name"}, "file"},
		{"link", []string{"name"}, "file"},
		{"file", []string{"data/", "data/a"}, "DIR/file: a directory cannot be copied onto a file"},
		{"new/", []string{"name"}, "DIR/new: there is no such directory to copy a file into"},
		{"dir", []string{"d/", "d/l->/etc", "d/l/x"}, "DIR/d/l/x: path escapes from parent"},
		{"dir", []string{"d/", "d/l->/etc", "d/l/"}, "file"},
		{"dir", []string{"./", "./l->/etc", "./a"}, "dir/a file"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "dir"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{os.WriteFile(filepath.Join(dir, "file"), []byte("old"), 0o644), os.Symlink("file", filepath.Join(dir, "link"))} {
			if err != nil {
				t.Fatal(err)
			}
		}
		var said bytes.Buffer
		typed := dir + "/" + c.dst
		out, err := unpackTo(&crossing.HostFile{Path: typed}, &said)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(archived(t, 0o750, c.entries...))
		got := ""
		if err := out.keep(); err != nil {
			got = strings.ReplaceAll(strings.TrimPrefix(err.Error(), "writing "), dir, "DIR")
			if strings.HasSuffix(c.dst, "dir") {
				got = strings.Replace(got, "DIR/dir/", "DIR/", 1)
			}
		} else {
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					got += " " + strings.TrimPrefix(path, dir+"/")
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			got = strings.TrimSpace(got)
		}
		if got != c.want || said.Len() > 0 {
			t.Errorf("%s, %q: %q, want %q; said %q", c.dst, c.entries, got, c.want, &said)
		}
	}
}

// In a directory that is there, what is copied is called as the container's path says, whatever the archive calls it.
func TestTheArchiveDoesNotNameACopy(t *testing.T) {
	for _, c := range []struct{ entry, of, below, want string }{
		{"f", "evil", "", "f"},
		{"d", "evil/", "evil/a", "d/a"},
		{"d", "./", "./a", "d/a"},
		{".", "./", "./a", "a"},
	} {
		dir := t.TempDir()
		out, err := unpackTo(&crossing.HostFile{Path: dir, Entry: c.entry}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(archived(t, 0o750, slices.DeleteFunc([]string{c.of, c.below}, func(name string) bool { return name == "" })...))
		if err := out.keep(); err != nil {
			t.Errorf("%s: %v", c.of, err)
		}
		if left, err := os.Stat(filepath.Join(dir, c.want)); err != nil || !left.Mode().IsRegular() {
			t.Errorf("%q as %q: %v", c.of, c.entry, err)
		}
		if all, _ := os.ReadDir(dir); len(all) != 1 {
			t.Errorf("%q as %q: %v", c.of, c.entry, all)
		}
	}
}

// What a copied file must not have is told in a line, and all else is as it was.
func TestACopyGivesNoRights(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	out, err := unpackTo(&crossing.HostFile{Path: dir}, &said)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = out.Write(archived(t, 0o6751, "x/", "x/program", "x/\x1b[2J", "x/a device"))
	if err := out.keep(); err != nil {
		t.Fatal(err)
	}
	want := "linnet: dropped the setuid and setgid bits of 2 files: " + dir + "/x/program, " + dir + `/x/\x1b[2J` + "\nlinnet: left out 1 file that is a device or pipe: " + dir + "/x/a device\n"
	if said.String() != want {
		t.Errorf("said %q, want %q", &said, want)
	}
	for name, want := range map[string]string{"x": "dgrwxr-x--x", "x/program": "-rwxr-x--x"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().String() != want || !info.ModTime().Equal(time.Unix(1000, 0)) {
			t.Errorf("%s is %v, %v, want %s", name, info, err, want)
		}
	}
}

// Nothing is written beside what was asked for: not by a name, by a link, by more entries than one file has, or by a link in its place.
func TestNothingIsCopiedBesideTheDestination(t *testing.T) {
	const outside, link = ", outside of what is copied", "the guest sends a link in place of what it leads to"
	for _, c := range []struct {
		dst     string
		entries []string
		want    string // in the error
	}{
		{"new", []string{"../../.bashrc"}, `"../../.bashrc"` + outside},
		{"new", []string{"data/", "../x"}, `"../x"` + outside},
		{"new", []string{"data/", "data/../../x"}, outside},
		{"new", []string{"data/", "other/x"}, `"other/x"` + outside},
		{"new", []string{"data/", "datax"}, `"datax"` + outside},
		{"new", []string{"./", "../x"}, `"../x"` + outside},
		{"new", []string{"./", "/x"}, `"/x"` + outside},
		{"new", []string{"./", "./l->..", "./l/x"}, "new/l/x: path escapes from parent"},
		{"new", []string{"./", "./hard=>../secret"}, `"../secret"` + outside},
		{"new", []string{"f->.", "f/.bashrc"}, link},
		{"new", []string{"f->/"}, link},
		{"new", []string{"f", "f/x"}, `"f/x"` + outside},
		{"new", []string{"f", "f"}, `"f"` + outside},
		{"new", []string{"a/f"}, `"a/f"` + outside},
		{"new", []string{"f=>secret"}, `"secret"` + outside},
		{"new", []string{"a device", "x"}, `"x"` + outside},
		{"secret", []string{"../x"}, `"../x"` + outside},
		{"secret", []string{"f->/", "x"}, link},
		{"dir", []string{"f", "x"}, `"x"` + outside},
		{"dir", []string{"f->.", "f/x"}, link},
		{"dir", []string{"data/", "x"}, `"x"` + outside},
		{"dir", []string{"data/", "data/l->..", "data/l/x"}, "data/l/x: path escapes from parent"},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "a", "b")
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "dir"), 0o755), os.WriteFile(filepath.Join(dir, "secret"), []byte("old"), 0o600)); err != nil {
			t.Fatal(err)
		}
		out, err := unpackTo(&crossing.HostFile{Path: filepath.Join(dir, c.dst)}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(archived(t, 0o644, c.entries...))
		if err := out.keep(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "writing "+dir) {
			t.Errorf("%s, %q: %v, want %q", c.dst, c.entries, err, c.want)
		}
		for where, allowed := range map[string]string{outer: "a", filepath.Dir(dir): "b", dir: "dir secret " + c.dst, filepath.Join(dir, "dir"): "f data a"} {
			entries, _ := os.ReadDir(where)
			for _, e := range entries {
				if !slices.Contains(strings.Fields(allowed), e.Name()) {
					t.Errorf("%s, %q: there is %s", c.dst, c.entries, filepath.Join(where, e.Name()))
				}
			}
		}
		if text, err := os.ReadFile(filepath.Join(dir, "secret")); c.dst != "secret" && string(text) != "old" {
			t.Errorf("%s, %q: the file beside it is %q, %v", c.dst, c.entries, text, err)
		}
	}
}

// A device, a pipe or a socket that is there stays.
func TestACopyRemovesNoPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink("pipe", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for typed, names := range map[string][]string{pipe: {"f"}, filepath.Join(dir, "link"): {"f"}, dir: {"pipe"}, dir + "/": {"pipe/"}, dir + "/.": {"./", "pipe"}} {
		out, err := unpackTo(&crossing.HostFile{Path: typed}, io.Discard)
		if err == nil {
			_, _ = out.Write(archived(t, 0o644, names...))
			err = out.keep()
		}
		if want := "writing " + pipe + ": it is a device, a pipe or a socket: name a file or a directory"; err == nil || err.Error() != want {
			t.Errorf("%s, %q: %v, want %s", typed, names, err, want)
		}
		if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
			t.Fatalf("%s, %q: the pipe is %v, %v", typed, names, info, err)
		}
		if info, err := os.Lstat(filepath.Join(dir, "link")); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Fatalf("%s, %q: the link is %v, %v", typed, names, info, err)
		}
	}
}

// An archive without a root entry is what is in a directory.
func TestContentsAreCopied(t *testing.T) {
	dir := t.TempDir()
	for _, to := range []string{dir, filepath.Join(dir, "new")} {
		out, err := unpackTo(&crossing.HostFile{Path: to, Contents: true}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(archived(t, 0o755, "bin/", "bin/sh", "link->/", "etc/"))
		if err := out.keep(); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if text, err := os.ReadFile(filepath.Join(to, "bin", "sh")); string(text) != "bin/sh" {
			t.Errorf("%s: %q, %v", to, text, err)
		}
		if target, err := os.Readlink(filepath.Join(to, "link")); target != "/" {
			t.Errorf("%s: %q, %v", to, target, err)
		}
	}
}

// A directory that is made gets its mode and its time.
func TestANewDirectoryIsAsItWas(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new")
	out, err := unpackTo(&crossing.HostFile{Path: name}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = out.Write(archived(t, 0o550, "x/", "x/y/", "x/y/f", "x/g"))
	if err := out.keep(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{name, filepath.Join(name, "y")} {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o550 || !info.ModTime().Equal(time.Unix(1000, 0)) {
			t.Errorf("%s is %v, %v", dir, info, err)
		}
		_ = os.Chmod(dir, 0o700) //nolint:gosec // so that it can be removed
	}
}

// A link is packed as a link, and where it is typed with a slash behind it as what it leads to.
func TestALinkIsPacked(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "data"), 0o755), os.WriteFile(filepath.Join(dir, "data", "f"), nil, 0o644),
		os.Symlink("data", filepath.Join(dir, "link")), os.Symlink("gone", filepath.Join(dir, "dangling"))); err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{
		"link": "link->data", "dangling": "dangling->gone", "link/.": "./ f", "link/": "data/ data/f", "data": "data/ data/f", "data/f": "f",
		"data/f/.": "reading " + dir + "/data/f/.: it is not a directory",
	} {
		got, err := packed(dir + "/" + typed)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", typed, got, want)
		}
	}
}

// packed is the entries of a path's archive, by space.
func packed(path string) (string, error) {
	in, err := packPath(path, false)
	if err != nil {
		return "", err
	}
	defer in.Close()
	var names []string
	archive := tar.NewReader(in)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(names, " "), nil
		}
		if err != nil {
			return "", err
		}
		name := h.Name
		if h.Typeflag == tar.TypeSymlink {
			name += "->" + h.Linkname
		}
		names = append(names, name)
	}
}
