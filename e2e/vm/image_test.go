//go:build e2e && linux

package vm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guestimage"
)

// TestTheImageComesByItself: a first command fetches the image from a server that ends the connection ten times,
// verifies it, and answers from the machine that it makes of it; a second home takes nothing that is not as expected.
func TestTheImageComesByItself(t *testing.T) {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	var packed bytes.Buffer
	if err := guestimage.Pack(&packed, filepath.Join(lab.Root(), "libexec", "linnet", "image", machine)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(packed.Bytes())
	t.Logf("packed: %d MiB", packed.Len()>>20)
	const cuts = 10
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/image" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"it"`)
		if asked.Add(1) <= cuts {
			w = &cutWriter{ResponseWriter: w, left: packed.Len() / (cuts + 2)}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(packed.Bytes()))
	}))
	t.Cleanup(server.Close)
	address := server.URL + "/image#sha256:" + hex.EncodeToString(sum[:])

	e := lab.New(t)
	configure(t, e, "  image: "+address+"\n")
	registry := lab.NewRegistry(t)
	registry.PushBusybox(t, "busybox")
	image := "host.docker.internal:" + registry.Port + "/busybox"
	e.Env = append(e.Env, "LINNET_ENGINE_REGISTRIES_INSECURE=host.docker.internal:"+registry.Port)
	r := e.Run(t, "run", "--rm", image, "echo", "hello from inside")
	if r.Code != 0 || r.Out != "hello from inside\n" || !strings.Contains(r.Err, "fetching the virtual machine's image") {
		t.Fatalf("exit code %d, stdout %q, stderr:\n%s", r.Code, r.Out, r.Err)
	}
	for line := range strings.Lines(r.Err) {
		if strings.Contains(line, ": done (") {
			t.Logf("phase: %s", line)
		}
	}
	if got := asked.Load(); got != cuts+1 {
		t.Errorf("the server was asked %d times", got)
	}
	if list := e.Must(t, "vm", "image", "ls", "-q"); list != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("listed: %q", list)
	}

	other := lab.New(t)
	for address, want := range map[string]string{
		server.URL + "/image#sha256:" + strings.Repeat("0", 64):      "its digest is sha256:" + hex.EncodeToString(sum[:]),
		server.URL + "/nothing#sha256:" + hex.EncodeToString(sum[:]): "404 Not Found",
	} {
		configure(t, other, "  image: "+address+"\n")
		r := other.Run(t, "run", "--rm", image, "true")
		if r.Code != 1 || !strings.Contains(r.Err, want) || !strings.Contains(r.Err, "\nhint: ") {
			t.Errorf("%s: exit code %d, stderr:\n%s", address, r.Code, r.Err)
		}
	}
	if list := other.Must(t, "vm", "image", "ls", "-q"); list != "" {
		t.Errorf("what was refused is kept: %q", list)
	}
}

// cutWriter ends the connection when so many bytes were written.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b[:min(len(b), w.left)])
	if w.left -= n; err == nil && w.left == 0 {
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}
