package guesttest_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/host"
)

func TestMain(m *testing.M) {
	guesttest.ReplaceMain(func() (guest.Guest, error) { return replacer{&guesttest.Fake{}}, nil })
	// Children of a process that ignores a signal, as one in the background does, ignore it too: the suite's would outlive it.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(m.Run())
}

// fakeTarget is a fake with one of everything, which bend may change.
func fakeTarget(t *testing.T, bend func(*guesttest.Fake) guest.Guest) guesttest.Target {
	t.Helper()
	share, sockets := t.TempDir(), t.TempDir()
	f := &guesttest.Fake{Root: t.TempDir(), Shares: []guesttest.Share{{Host: share}}, Sockets: map[guest.Service]string{
		guest.Containerd: serveHTTP2(t, filepath.Join(sockets, "c")),
		guest.BuildKit:   serveHTTP2(t, filepath.Join(sockets, "b")),
	}}
	target := guesttest.Target{
		New:      func(*testing.T) guest.Guest { return bend(f) },
		ShareDir: share, HiddenDir: t.TempDir(), Engine: true,
	}
	if target.ReadOnlyDir = readOnlyDir(t); target.ReadOnlyDir != "" {
		f.Shares = append(f.Shares, guesttest.Share{Host: target.ReadOnlyDir, ReadOnly: true})
	}
	return target
}

// serveHTTP2 stands for a gRPC server.
func serveHTTP2(t *testing.T, socket string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Protocols: new(http.Protocols)}
	srv.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return socket
}

func TestFakeKeepsTheContract(t *testing.T) {
	guesttest.Suite(t, fakeTarget(t, func(f *guesttest.Fake) guest.Guest { return f }))
}

// TestFakeWithAnEngine runs the suite, containers included, on an engine that already runs:
// LINNET_TEST_NERDCTL is the directory of its nerdctl, LINNET_TEST_IMAGE the image, and
// LINNET_TEST_ENV the variables, divided by spaces, that point that nerdctl at the engine.
func TestFakeWithAnEngine(t *testing.T) {
	dir, image := os.Getenv("LINNET_TEST_NERDCTL"), os.Getenv("LINNET_TEST_IMAGE")
	if dir == "" || image == "" {
		t.Skip("LINNET_TEST_NERDCTL and LINNET_TEST_IMAGE are not set")
	}
	target := fakeTarget(t, func(f *guesttest.Fake) guest.Guest {
		f.PATH = dir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		f.Env = strings.Fields(os.Getenv("LINNET_TEST_ENV"))
		return f
	})
	target.Image = image
	guesttest.Suite(t, target)
}

func TestFakeThatSeesEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for stubborn commands for seconds")
	}
	target := fakeTarget(t, func(f *guesttest.Fake) guest.Guest {
		f.Shares = []guesttest.Share{{Host: "/"}}
		return f
	})
	target.HiddenDir, target.ReadOnlyDir = "", ""
	guesttest.Suite(t, target)
}

func TestFakeIsForeign(t *testing.T) {
	t.Setenv("GT_LEAK", "ours")
	share := t.TempDir()
	f := &guesttest.Fake{Root: t.TempDir(), Shares: []guesttest.Share{{Host: share}}, Env: []string{"GT_OWN=theirs"}}
	v, err := f.Path(share)
	if err != nil || v.Path == share || strings.HasPrefix(v.Path, share) {
		t.Errorf("%s is seen as %v, %v", share, v, err)
	}
	var out strings.Builder
	err = f.Run(t.Context(), guest.Process{Argv: []string{"/bin/sh", "-c", `echo "$GT_LEAK,$GT_OWN"; pwd`}, Stdout: &out})
	if cwd, _ := os.Getwd(); err != nil || !strings.HasPrefix(out.String(), ",theirs\n") || strings.Contains(out.String(), cwd) {
		t.Errorf("%v, output %q", err, out.String())
	}
	if f.Capabilities().Replace != nil {
		t.Error("a fake offers to replace this process")
	}
}

func TestFakeHidesASibling(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"share", "share-not", "..odd"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := &guesttest.Fake{Root: t.TempDir(), Shares: []guesttest.Share{{Host: filepath.Join(dir, "share")}}}
	var hidden *guest.NotVisibleError
	if v, err := f.Path(filepath.Join(dir, "share-not")); !errors.As(err, &hidden) {
		t.Errorf("the sibling is seen as %v, %v", v, err)
	}
	g := &guesttest.Fake{Root: t.TempDir(), Shares: []guesttest.Share{{Host: dir}}}
	if _, err := g.Path(filepath.Join(dir, "..odd")); err != nil {
		t.Errorf("a name that begins with dots: %v", err)
	}
}

// replacer is a fake that does what a Fake must not, to test the tests of it.
type replacer struct{ *guesttest.Fake }

func (r replacer) Capabilities() guest.Capabilities { return guest.Capabilities{Replace: r.replace} }

func (replacer) replace(p guest.Process) error {
	if p.Dir != "" {
		if err := os.Chdir(p.Dir); err != nil {
			return err
		}
	}
	if !filepath.IsAbs(p.Argv[0]) {
		return fmt.Errorf("starting %s: %w", p.Argv[0], os.ErrNotExist)
	}
	return host.Become(p.Argv[0], p.Argv, slices.Concat(os.Environ(), p.Env), p.Variables)
}

func TestReplaceSuite(t *testing.T) { guesttest.ReplaceSuite(t) }
