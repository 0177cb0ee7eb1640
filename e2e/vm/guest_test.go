//go:build e2e && linux

package vm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima"
	"github.com/linnet-dev/linnet/pkg/report"
)

// guestOf is the guest in a machine that runs, as the client makes it.
func guestOf(t *testing.T, e *lab.Engine) *lima.Guest {
	t.Helper()
	facts := lima.HostFacts()
	facts.Home = e.User
	return lima.NewGuest(lima.Options{
		Layout:  host.Layout{Home: e.Home, Libexec: filepath.Join(lab.Root(), "libexec", "linnet")},
		Environ: e.Environ(), Facts: facts, Report: report.New(report.Options{Err: t.Output(), Format: report.Plain}),
	}, lab.Linnet())
}

// The guest in the virtual machine keeps the contract of a guest, with a shell and with
// containers.
func TestLimaGuest(t *testing.T) {
	e := machine(t)
	image := e.Busybox(t)
	hidden, err := os.MkdirTemp("/var/tmp", "hidden-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(hidden) })
	guesttest.Suite(t, guesttest.Target{
		New:    func(t *testing.T) guest.Guest { return guestOf(t, e) },
		Engine: true, Image: image,
		ShareDir: share(t, e), HiddenDir: hidden, ReadOnlyDir: readOnlyShare(t),
		Slow: slow,
	})
}
