package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// StoreDisk is the name, in the directory of a suite that runs as another user, of a data disk
// with the images of the demo on it. An emulated machine would take half an hour to build them.
const StoreDisk = "store.raw"

// Store makes StoreDisk in a directory: the images are built natively, by the demo's own steps, and
// the engine's directories become a disk.
func Store(root string) (err error) {
	e, done, err := Open()
	if err != nil {
		return err
	}
	defer done()
	demo := filepath.Join(Root(), "examples", "demo")
	script := `set -e
rootfs=$(./rootfs.sh redis-server busybox-static)
linnet build -q -t linnet-demo/debian -f debian/Dockerfile "$rootfs"
linnet build -q -t linnet-demo/redis database
linnet build -q -t linnet-demo/guestbook --build-context "go=$(go env GOROOT)" --secret "id=release-key,src=$0" app
linnet builder prune --force
linnet engine stop`
	key := filepath.Join(filepath.Dir(e.Home), "key")
	if err := os.WriteFile(key, []byte("a key for a test\n"), 0o600); err != nil {
		return err
	}
	build := exec.Command("bash", "-c", script, key)
	build.Dir = demo
	// The packages that the demo's images are made from are cached in the home of the user who runs it.
	build.Env = append(e.Environ(), "HOME="+os.Getenv("HOME"), "PATH="+filepath.Dir(Linnet())+":/usr/local/go/bin:"+os.Getenv("PATH"))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the demo's images: %w\n%s", err, out)
	}
	tree := filepath.Join(filepath.Dir(e.Home), "tree")
	disk := filepath.Join(root, StoreDisk)
	return errors.Join(
		os.MkdirAll(filepath.Join(tree, "native"), 0o755),
		run("cp", "-al", filepath.Join(e.Home, "native", "containerd"), filepath.Join(e.Home, "native", "nerdctl"), filepath.Join(tree, "native")),
		os.RemoveAll(disk),
		run("truncate", "-s", "8G", disk),
		run("mkfs.ext4", "-q", "-F", "-L", "linnet-data", "-E", "lazy_itable_init=1", "-d", tree, disk),
		os.Chmod(disk, 0o644),
	)
}
