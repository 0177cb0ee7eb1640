package lab

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Registry is an image registry on loopback that ends with the test.
type Registry struct {
	// Port is where it listens on 127.0.0.1.
	Port string
}

// NewRegistry starts one.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return &Registry{Port: server.URL[strings.LastIndexByte(server.URL, ':')+1:]}
}

// PushBusybox puts an image of the static busybox, with its applets, under a name.
func (r *Registry) PushBusybox(t testing.TB, repository string) {
	t.Helper()
	var layer bytes.Buffer
	if err := busyboxTar(&layer); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	config := v1.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}
	if image, err = mutate.Config(image, config); err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file.OS, file.Architecture = "linux", Arch()
	if image, err = mutate.ConfigFile(image, file); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference("127.0.0.1:" + r.Port + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
}

// busyboxTar writes a root file system with the static busybox in it.
func busyboxTar(w io.Writer) error {
	program, err := busybox()
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	write := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if e := t.WriteHeader(&h); e != nil && err == nil {
			err = e
		}
		if _, e := t.Write(content); e != nil && err == nil {
			err = e
		}
	}
	for _, dir := range []string{"bin", "etc", "root", "proc", "sys", "dev"} {
		write(tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	write(tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	write(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	write(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, program)
	for _, applet := range applets {
		write(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, nil)
	}
	if err != nil {
		return err
	}
	return t.Close()
}

// applets are those that tests use.
var applets = strings.Fields(`sh cat echo env false head hostname httpd id ip kill ln ls mkdir mv nc nslookup od ping ps pwd rm
	sed seq sha256sum sleep sort stat stty sync tail tar test touch tr true uname vi wc wget which yes tty dd chown chmod mount grep printf`)
