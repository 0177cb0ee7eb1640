package forward

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// archived is an archive of entries that are named NAME, NAME/ or NAME->TARGET.
func archived(t *testing.T, mode int64, names ...string) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range names {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(name)), ModTime: time.Unix(1000, 0)}
		link, target, isLink := strings.Cut(name, "->")
		switch {
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
		{"dir", []string{"l->/etc", "l/x"}, "DIR/l/x: path escapes from parent"},
		{"dir", []string{"l->/etc", "l/"}, "file"},
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
		out, err := unpackTo(typed, &said)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(archived(t, 0o640, c.entries...))
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

// What a copied file must not have is told in a line, and all else is as it was.
func TestACopyGivesNoRights(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	out, err := unpackTo(dir, &said)
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
