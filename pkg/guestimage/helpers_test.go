package guestimage

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// store is one in a home of the test's own, which does not wait between tries.
func store(t *testing.T) *Store {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := Open(host.Layout{Home: home})
	s.net.pause = time.Millisecond
	return s
}

// random is data that does not compress.
func random(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	return data
}

// diskSize is the size of the image's disk, in bytes: no multiple of a block.
const diskSize = 8<<20 + 100

// directory is an image's, with a disk that has data at its beginning, in the middle and at its end.
func directory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	disk := make([]byte, diskSize)
	copy(disk, random(300<<10))
	copy(disk[4<<20:], "middle")
	copy(disk[len(disk)-3:], "end")
	for name, data := range map[string][]byte{
		"manifest.json": []byte(`{"key": "one", "sizes": {"disk": 8388708, "used": 400000, "kernel": 6, "initrd": 6}}`),
		"cmdline":       []byte("quiet\n"), "kernel": []byte("kernel"), "initrd": []byte("initrd"), "disk.raw": disk,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pack is the packed form of an image, with its digest.
func pack(t *testing.T) ([]byte, Digest) {
	t.Helper()
	var out bytes.Buffer
	if err := Pack(&out, directory(t)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sum(out.Bytes())
}

func sum(data []byte) Digest {
	s := sha256.Sum256(data)
	return digestOf(s[:])
}

// hostile is a packed form of whatever a test puts in.
func hostile(t *testing.T, heads ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	compressed, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	for _, head := range heads {
		if err := archive.WriteHeader(head); err != nil {
			t.Fatal(err)
		}
		if head.Typeflag == tar.TypeReg && head.Size < 1<<20 {
			if _, err := archive.Write(bytes.Repeat([]byte("{}"), int(head.Size)/2)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = archive.Close() // of one that is too short
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func regular(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o777}
}

// file is a file of the test's own.
func file(t *testing.T, data []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "packed"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	return f
}

// told is an error with its hint, as one line.
func told(err error) string {
	if err == nil {
		return ""
	}
	return hint.Format(err.Error(), hint.Of(err))
}

// left are the names in the store, but for the lock's.
func left(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.layout.Images())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}
