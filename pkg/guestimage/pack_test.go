package guestimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

func TestTheSameFilesMakeTheSameBytes(t *testing.T) {
	dir := directory(t)
	var first, second bytes.Buffer
	if err := Pack(&first, dir); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := errors.Join(os.Chtimes(filepath.Join(dir, "kernel"), later, later), os.Chmod(filepath.Join(dir, "initrd"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Pack(&second, dir); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("times or modes show in the packed form")
	}
	if first.Len() > 1<<20 {
		t.Errorf("zeros take room: %d bytes", first.Len())
	}
}

func TestWhatIsNoImageIsNotPacked(t *testing.T) {
	dir := directory(t)
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Pack(&bytes.Buffer{}, dir); err == nil || err.Error() != "packing "+dir+": notes is no part of an image" {
		t.Error(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "notes")), os.Remove(filepath.Join(dir, "initrd"))); err != nil {
		t.Fatal(err)
	}
	if err := Pack(&bytes.Buffer{}, dir); err == nil || err.Error() != "packing "+dir+": "+dir+"/initrd: no such file or directory" {
		t.Error(err)
	}
}

func TestAnImageComesBackAsItWasAndSparse(t *testing.T) {
	s := store(t)
	want := directory(t)
	var out bytes.Buffer
	if err := Pack(&out, want); err != nil {
		t.Fatal(err)
	}
	d, err := s.Import(t.Context(), file(t, out.Bytes()), "", nil)
	if err != nil || d != sum(out.Bytes()) {
		t.Fatal(d, err)
	}
	for _, name := range []string{"manifest.json", "cmdline", "kernel", "initrd", "disk.raw"} {
		a, errA := os.ReadFile(filepath.Join(want, name))
		b, errB := os.ReadFile(filepath.Join(s.Dir(d), name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is another: %v, %v", name, errA, errB)
		}
		if info, err := os.Stat(filepath.Join(s.Dir(d), name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	if used := host.Used(s.Dir(d)); used > 1<<20 {
		t.Errorf("it takes up %d bytes: it has no holes", used)
	}
}

// What is packed with bad intent is refused by what is wrong with it, and leaves nothing.
func TestHostileImagesAreRefused(t *testing.T) {
	head := regular("manifest.json", 2)
	link := func(kind byte) *tar.Header {
		return &tar.Header{Typeflag: kind, Name: "kernel", Linkname: "/etc/passwd"}
	}
	whole, _ := pack(t)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"another directory":    {hostile(t, head, regular("../kernel", 2)), `"../kernel" is no part of one`},
		"from the root":        {hostile(t, head, regular("/etc/passwd", 2)), `"/etc/passwd" is no part of one`},
		"below":                {hostile(t, head, regular("a/kernel", 2)), `"a/kernel" is no part of one`},
		"a dot":                {hostile(t, head, regular("./kernel", 2)), `"./kernel" is no part of one`},
		"an unknown name":      {hostile(t, head, regular("agent", 2)), `"agent" is no part of one`},
		"a symbolic link":      {hostile(t, head, link(tar.TypeSymlink)), "kernel is not a regular file"},
		"a hard link":          {hostile(t, head, link(tar.TypeLink)), "kernel is not a regular file"},
		"a device":             {hostile(t, head, link(tar.TypeChar)), "kernel is not a regular file"},
		"a directory":          {hostile(t, head, &tar.Header{Typeflag: tar.TypeDir, Name: "kernel"}), "kernel is not a regular file"},
		"twice":                {hostile(t, head, regular("kernel", 2), regular("kernel", 2)), "kernel is there twice"},
		"a huge disk":          {hostile(t, head, regular("disk.raw", 17<<30)), "disk.raw has 17408 MiB, and at most 16384 MiB are taken"},
		"a huge command line":  {hostile(t, head, regular("cmdline", 1<<20)), "cmdline has 1.0 MiB, and at most 0.1 MiB are taken"},
		"no manifest first":    {hostile(t, regular("kernel", 2), head), "it begins with kernel, and not with manifest.json"},
		"a part missing":       {hostile(t, head, regular("kernel", 2)), "cmdline is missing"},
		"nothing":              {hostile(t), "manifest.json is missing"},
		"no file at all":       {nil, "manifest.json is missing"},
		"another format":       {[]byte("PK\x03\x04 something"), "invalid input: magic number mismatch"},
		"cut in the middle":    {whole[:len(whole)/2], "unexpected EOF"},
		"no JSON in its place": {hostile(t, regular("manifest.json", 4)), "manifest.json: invalid character '{' after top-level value"},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t)
			_, err := s.Import(t.Context(), file(t, c.data), "", nil)
			if want := "it is no image: " + c.want + "\nhint: take an image that `make image` has made and packed; this one is not used"; told(err) != want {
				t.Errorf("%s\nwant %s", told(err), want)
			}
			if names := left(t, s); len(names) > 0 {
				t.Errorf("%q is left", names)
			}
			if outside, err := filepath.Glob(filepath.Join(s.layout.Home, "*")); err != nil || len(outside) != 1 {
				t.Errorf("in the home: %q", outside)
			}
		})
	}
}

// A small file that unpacks to zeros without end fills no disk.
func TestWhatFollowsTheArchiveIsNotUnpacked(t *testing.T) {
	s := store(t)
	data, _ := pack(t)
	bomb := hostile(t, regular("manifest.json", 2))
	if _, err := s.Import(t.Context(), file(t, append(data, bomb...)), "", nil); err != nil {
		t.Error(err) // the archive had ended; the digest is of the whole
	}
}

func TestNoRoomIsToldBeforeTheDiskIsWritten(t *testing.T) {
	s := store(t)
	data, d := pack(t)
	s.free = func(string) (int64, bool) { return 1 << 20, true }
	_, err := s.Import(t.Context(), file(t, data), d, nil)
	want := s.layout.Images() + " has too little space: an image takes 64 MiB, and 1.0 MiB are free\nhint: free some space there, or set LINNET_HOME to a directory on another disk"
	if told(err) != want {
		t.Errorf("%s\nwant %s", told(err), want)
	}
	if names := left(t, s); len(names) > 0 {
		t.Errorf("%q is left", names)
	}
}

func TestAnImportIsHeldToItsDigest(t *testing.T) {
	s := store(t)
	data, d := pack(t)
	other := sum([]byte("other"))
	_, err := s.Import(t.Context(), file(t, data), other, nil)
	var mismatch *MismatchError
	if !errors.As(err, &mismatch) || mismatch.Has != d || err.Error() != "its digest is "+string(d)+", and "+string(other)+" is expected; nothing of it is used" {
		t.Error(err)
	}
	if _, err := s.Import(t.Context(), file(t, data), d, nil); err != nil || !s.Has(d) {
		t.Error(err)
	}
	if _, err := s.Import(t.Context(), file(t, data), d, nil); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestAnImageComesThroughAPipe(t *testing.T) {
	s := store(t)
	data, d := pack(t)
	for _, c := range []struct {
		data []byte
		want string
	}{{data[:1000], "it is no image: unexpected EOF"}, {data, ""}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = w.Write(c.data); w.Close() }()
		_, err = s.Import(t.Context(), r, "", nil)
		r.Close()
		if (err != nil || c.want != "") && (err == nil || err.Error() != c.want) {
			t.Errorf("%d bytes: %v", len(c.data), err)
		}
	}
	if names := left(t, s); len(names) != 1 || !s.Has(d) || !strings.HasSuffix(names[0], d.Hex()) {
		t.Errorf("%q is left", names)
	}
}
