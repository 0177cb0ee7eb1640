package images_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/images"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// largeArchive writes an archive with an image of gzipped layers of size bytes each: half of it programs, half text, as 20 KiB files.
func largeArchive(t testing.TB, path string, layers int, size int64) {
	t.Helper()
	dir := t.TempDir()
	out, err := os.Create(path)
	check(t, err)
	defer out.Close()
	tw := tar.NewWriter(out)
	put := func(name string, text []byte) {
		check(t, tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		_, err := tw.Write(text)
		check(t, err)
	}
	descriptors := []any{}
	for n := range layers {
		digest, packed := largeLayer(t, filepath.Join(dir, fmt.Sprint(n)), n, size)
		f, err := os.Open(filepath.Join(dir, fmt.Sprint(n)))
		check(t, err)
		check(t, tw.WriteHeader(&tar.Header{Name: "blobs/sha256/" + digest, Mode: 0o644, Size: packed, Typeflag: tar.TypeReg}))
		_, err = io.Copy(tw, f)
		check(t, err)
		f.Close()
		descriptors = append(descriptors, map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + digest, "size": packed})
	}
	blob := func(v any) map[string]any {
		text, err := json.Marshal(v)
		check(t, err)
		sum := sha256.Sum256(text)
		put("blobs/sha256/"+hex.EncodeToString(sum[:]), text)
		return map[string]any{"digest": "sha256:" + hex.EncodeToString(sum[:]), "size": len(text)}
	}
	manifest := blob(map[string]any{"config": blob(map[string]any{"os": "linux", "architecture": "amd64"}), "layers": descriptors})
	text, err := json.Marshal(map[string]any{"manifests": []any{manifest}})
	check(t, err)
	put("index.json", text)
	check(t, tw.Close())
}

func largeLayer(t testing.TB, path string, n int, size int64) (digest string, packed int64) {
	t.Helper()
	const file = 20 << 10
	random := rand.NewChaCha8([32]byte{byte(n)})
	noise := make([]byte, 1<<20)
	_, _ = random.Read(noise) // never fails
	words := bytes.Repeat([]byte("import { value } from './module'; // see https://example.com/a?b=c for eyJ and SG. and such\n"), 300)
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	sum := sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, sum), gzip.BestSpeed)
	check(t, err)
	tw := tar.NewWriter(z)
	content := make([]byte, file)
	for at := int64(0); at < size; at += file {
		i := at / file
		if i%2 == 0 {
			copy(content, noise[(i*977)%(1<<20-file):])
			copy(content[file/2:], bytes.Repeat([]byte{0, 1, 2, byte(i), byte(i >> 8)}, file/10))
		} else {
			copy(content, words[i%91:])
			copy(content, fmt.Sprint(i))
		}
		check(t, tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("usr/lib/part%d/dir%d/file%d", n, i%500, i), Mode: 0o644, Size: file, Typeflag: tar.TypeReg}))
		_, err := tw.Write(content)
		check(t, err)
	}
	check(t, tw.Close())
	check(t, z.Close())
	info, err := f.Stat()
	check(t, err)
	return hex.EncodeToString(sum.Sum(nil)), info.Size()
}

// peak is the most memory that the heap and the stacks had while do ran, in bytes.
func peak(do func()) uint64 {
	var most atomic.Uint64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.Sys-m.HeapReleased))
			select {
			case <-tick.C:
			case <-end:
				tick.Stop()
				return
			}
		}
	}()
	do()
	close(end)
	<-ended
	return most.Load()
}

// cpu is the time that this process has had processors for.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	check(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Memory does not grow with the size of files, and 1 GB takes seconds. How long exactly is a machine's matter: the bound is a wide one.
func TestALargeImageTakesSecondsAndLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 1 GB") // as all that takes seconds
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	largeArchive(t, path, 5, 200<<20)
	runtime.GC()
	var i *lens.Image
	var findings []lens.Finding
	var took, spent time.Duration
	memory := peak(func() {
		start, used := time.Now(), cpu(t)
		var err error
		i, err = images.FromPath(t.Context(), path, nil, "", images.Platform{})
		check(t, err)
		findings = lens.RunImage(i, lens.Defaults(time.Now()))
		took, spent = time.Since(start), cpu(t)-used
	})
	files := 0
	for _, l := range i.Layers {
		files += len(l.Entries)
	}
	t.Logf("%d files of 1 GiB: %v, %v of processors, %d MB, %d findings", files, took.Round(time.Millisecond), spent.Round(time.Millisecond), memory>>20, len(findings))
	if memory > 250<<20 {
		t.Errorf("it took %d MB", memory>>20)
	}
	if spent > 20*time.Second {
		t.Errorf("it took %v of processors", spent)
	}
}
