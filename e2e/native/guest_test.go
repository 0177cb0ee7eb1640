//go:build e2e && linux

package native_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/guest/guesttest"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/native"
)

// nativeOf is the native guest of an engine that runs already.
func nativeOf(home string) *native.Native {
	return native.New(native.Options{
		Layout:  host.Layout{Home: home, Libexec: filepath.Join(lab.Root(), "libexec", "linnet")},
		Program: lab.Linnet(), Environ: os.Environ(),
		Spec: func() (agent.Spec, error) { return agent.Spec{}, os.ErrInvalid },
	})
}

// The rootful native guest keeps the contract of a guest, with a shell and with containers.
func TestNativeGuest(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	image := e.Busybox(t)
	guesttest.Suite(t, guesttest.Target{
		New:    func(*testing.T) guest.Guest { return nativeOf(e.Home) },
		Engine: true, Image: image,
		ShareDir: t.TempDir(), ReadOnlyDir: readOnlyDir(t),
	})
}

// The fake guest keeps it too, with the same engine's nerdctl behind it: what is tested on
// the fake is tested on something that is like the real ones.
func TestFakeGuestWithContainers(t *testing.T) {
	t.Parallel()
	e := lab.Shared(t)
	image := e.Busybox(t)
	share, hidden := t.TempDir(), t.TempDir()
	bin := filepath.Join(lab.Root(), "libexec", "linnet", "bin")
	guesttest.Suite(t, guesttest.Target{
		New: func(t *testing.T) guest.Guest {
			return &guesttest.Fake{
				Root: t.TempDir(), Shares: []guesttest.Share{{Host: share}},
				Env:  []string{"NERDCTL_TOML=" + filepath.Join(e.Home, "native", "etc", "nerdctl.toml")},
				PATH: bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				Sockets: map[guest.Service]string{
					guest.Containerd: filepath.Join(e.Home, "native", "run", "containerd.sock"),
					guest.BuildKit:   filepath.Join(e.Home, "native", "run", "buildkitd.sock"),
				},
			}
		},
		Engine: true, Image: image,
		ShareDir: share, HiddenDir: hidden,
	})
}

// Native becomes the command: the same process, with its environment and working directory.
func TestNativeReplaces(t *testing.T) {
	lab.Shared(t)
	guesttest.ReplaceSuite(t)
}

func readOnlyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
