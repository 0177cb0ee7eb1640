package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linnet-dev/linnet/pkg/guestimage"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima"
)

// serveImage is the command serve: it packs the image that stands beside linnet, with a key of its own, and serves it at
// $IMAGE_URL, below which are /whole, /cut (each answer ends in its middle, but for the last bytes), /moved (to /whole) and,
// for anything else, 404. $IMAGE is /whole with its digest behind it, $DIGEST the digest, $SHORT its beginning. The packed form
// is the file packed, too. $SECURE is the same behind a proxy ($PROXY), at a host that is nowhere else, with a certificate of
// its own in the file certificate.
func serveImage(ts *testscript.TestScript, _ bool, args []string) {
	data := packImage(ts, args[0])
	sum := sha256.Sum256(data)
	digest := guestimage.Digest("sha256:" + hex.EncodeToString(sum[:]))
	handler := http.NewServeMux()
	handler.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) { content(w, r, data) })
	handler.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/whole", http.StatusFound) })
	var cuts atomic.Int32
	handler.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		if cuts.Add(1) <= 3 {
			w = &cutWriter{ResponseWriter: w, left: len(data) / 5}
		}
		content(w, r, data)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	proxy := httptest.NewServer(tunnel(secure.Listener.Addr().String()))
	for _, s := range []*httptest.Server{plain, secure, proxy} {
		ts.Defer(s.Close)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("certificate"), certificate, 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("packed"), data, 0o644))
	for name, value := range map[string]string{
		"IMAGE_URL": plain.URL, "IMAGE": plain.URL + "/whole#" + string(digest), "CUT": plain.URL + "/cut#" + string(digest),
		"DIGEST": string(digest), "HEX": digest.Hex(), "SHORT": digest.Short(), "PROXY": proxy.URL, "SECURE": "https://example.com/whole#" + string(digest),
		"WRONG": plain.URL + "/whole#sha256:" + strings.Repeat("0", 64), "MISSING": plain.URL + "/missing#" + string(digest),
		"MOVED": plain.URL + "/moved#" + string(digest),
	} {
		ts.Setenv(name, value)
	}
}

// packImage packs the image beside linnet, with a key.
func packImage(ts *testscript.TestScript, key string) []byte {
	beside, err := lima.ImageBeside(host.Layout{Libexec: ts.Getenv("LINNET_LIBEXEC")}, lima.HostFacts().Arch)
	ts.Check(err)
	dir := filepath.Join(ts.MkAbs("."), "image-"+key)
	ts.Check(os.CopyFS(dir, os.DirFS(beside)))
	ts.Check(os.WriteFile(filepath.Join(dir, "manifest.json"), fmt.Appendf(nil, "{%q: %q}", "key", key), 0o644))
	var out bytes.Buffer
	ts.Check(guestimage.Pack(&out, dir))
	return out.Bytes()
}

func content(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("ETag", `"one"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// cutWriter ends the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n, _ := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// tunnel is a proxy that leads every connection to one server.
func tunnel(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.com:443" {
			http.Error(w, "not here", http.StatusForbidden)
			return
		}
		far, err := net.Dial("tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer far.Close()
		w.WriteHeader(http.StatusOK)
		near, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer near.Close()
		go func() { _, _ = io.Copy(far, near); far.Close() }()
		_, _ = io.Copy(near, far)
	})
}
