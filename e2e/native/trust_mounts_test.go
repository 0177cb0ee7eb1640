//go:build e2e && linux

package native_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// documentedPaths are the paths that docs/files.md lists, for the home with an id.
func documentedPaths(t *testing.T, id string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/files.md")
	if err != nil {
		t.Fatal(err)
	}
	return hosttest.Paths(string(text), id)
}

// valuables makes a tree of files, and returns a digest of all that is in it, to be taken again.
func valuables(t *testing.T) (dir string, digest func() string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"tree/kept", "tree/deep/er/kept", "tree/.hidden", "tree/etc/engine.json", "tree/blobs/sha256/1", "file"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("# "+name+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() string {
		sum := sha256.New()
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%s %d %s\n", path, len(text), text)
			return err
		})
		return fmt.Sprintf("%x %v", sum.Sum(nil), err)
	}
}

// mountAndRun, in a mount namespace and a network of its own, puts a copy of a home in a fresh memory
// file system, mounts the valuables at paths of it (the file where a file is, the tree elsewhere), and
// runs the words behind "--". $1: the valuables, $2: the copied home, $3: where it goes.
const mountAndRun = `set -eu
value=$1 template=$2 home=$3; shift 3
mkdir -p /run/linnet "$(dirname "$home")"
mount -t tmpfs -o mode=755 none /run/linnet
mount -t tmpfs -o mode=755 none "$(dirname "$home")"
cp -a "$template" "$home"
ln -s home "$(dirname "$home")/link"
while [ "$1" != -- ]; do
	if [ -e "$1" ] && [ ! -d "$1" ]; then mount --bind "$value/file" "$1"
	else mkdir -p "$1"; mount --bind "$value/tree" "$1"; fi
	shift
done
shift
exec "$@"
`

// Whatever a user has mounted at a path of ours is not removed by a reset: by the home's name or by a
// link to it. What would be removed with it stays, too, and the mount is named.
func TestResetRemovesNothingThatIsMounted(t *testing.T) {
	t.Parallel()
	e := lab.New(t)
	e.Must(t, "engine", "start")
	e.Must(t, "engine", "stop")
	for _, name := range []string{"build/recent/1", "build/imported/main/build.json", "compose/1.yaml", "lima/_disks/default/datadisk", "linnet.yaml"} {
		path := filepath.Join(e.Home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(t.TempDir(), "work", "home")
	id := host.Layout{Home: home}.ID()
	var kept, removed []string // by a reset
	for _, path := range append(documentedPaths(t, id), "native", "build/imported/main", "native/nerdctl/1935db59/volumes/default/data/_data") {
		switch {
		case path == "version": // it is read first, and what is mounted there is none
		case strings.HasPrefix(path, "/run/linnet/"):
			removed = append(removed, path)
		case strings.HasPrefix(path, "/"):
			kept = append(kept, path)
		case path == "docker.sock", strings.HasPrefix(path+"/", "native/"), strings.HasPrefix(path+"/", "build/"), strings.HasPrefix(path+"/", "compose/"):
			removed = append(removed, filepath.Join(home, path))
		default:
			kept = append(kept, filepath.Join(home, path))
		}
	}
	reset := func(t *testing.T, named string, paths []string) (code int, said string) {
		t.Helper()
		value, digest := valuables(t)
		before := digest()
		argv := append([]string{"--mount", "--net", "sh", "-c", mountAndRun, "sh", value, e.Home, home}, paths...)
		cmd := exec.CommandContext(t.Context(), "unshare", append(argv, "--", lab.Linnet(), "engine", "reset", "--force")...)
		cmd.Env = append(e.Environ(), "LINNET_HOME="+filepath.Join(filepath.Dir(home), named))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if digest() != before {
			t.Errorf("files were lost\n%s", out)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	for _, named := range []string{"home", "link"} {
		t.Run(named, func(t *testing.T) {
			t.Run("beside", func(t *testing.T) {
				t.Parallel()
				if code, said := reset(t, named, kept); code != 0 {
					t.Errorf("exit code %d\n%s", code, said)
				}
			})
			t.Run("version", func(t *testing.T) {
				t.Parallel()
				if code, said := reset(t, named, []string{filepath.Join(home, "version")}); code != 1 || !strings.Contains(said, "is no version of linnet's state\nhint: ") {
					t.Errorf("exit code %d\n%s", code, said)
				}
			})
			for _, path := range removed {
				t.Run(strings.TrimPrefix(path, home+"/"), func(t *testing.T) {
					t.Parallel()
					code, said := reset(t, named, []string{path})
					if code != 1 || !strings.Contains(said, path+" is mounted there, and is not linnet's to remove\nhint: unmount it (umount "+path+")") {
						t.Errorf("exit code %d\n%s", code, said)
					}
				})
			}
		})
	}
	t.Run("while it runs", func(t *testing.T) { resetKeepsRunning(t, e) })
}

// resetKeepsRunning holds that a reset which removes nothing ends nothing either.
func resetKeepsRunning(t *testing.T, e *lab.Engine) {
	e.Must(t, "volume", "create", "data")
	id := strings.TrimSpace(e.Must(t, "run", "-d", "--ipc", "shareable", e.Busybox(t), "sleep", "1000")) // the engine mounts something, too
	pid, err := strconv.Atoi(strings.TrimSpace(e.Must(t, "inspect", "-f", "{{.State.Pid}}", id)))
	if err != nil {
		t.Fatal(err)
	}
	volume := strings.TrimSpace(e.Must(t, "volume", "inspect", "-f", "{{.Mountpoint}}", "data"))
	value, digest := valuables(t)
	before := digest()
	for _, point := range []string{volume, filepath.Join(layoutOf(e).Volatile(), "of-a-user")} {
		if err := errors.Join(os.MkdirAll(point, 0o755), unix.Mount(filepath.Join(value, "tree"), point, "", unix.MS_BIND, "")); err != nil {
			t.Fatal(err)
		}
		unmount := func() { _ = unix.Unmount(point, unix.MNT_DETACH) }
		t.Cleanup(unmount)
		r := e.Run(t, "engine", "reset", "--force")
		if want := "linnet: removing what the engine keeps: " + point + " is mounted there, and is not linnet's to remove\nhint: unmount it (umount " + point + "), then try again; what is in it stays\n"; r.Code != 1 || r.Err != want {
			t.Errorf("exit code %d\n%s", r.Code, r.Err)
		}
		if err := unix.Kill(pid, 0); err != nil || !host.Listens(layoutOf(e).Socket("containerd")) {
			t.Errorf("the container or the engine has ended: %v", err)
		}
		if digest() != before {
			t.Error("files were lost")
		}
		unmount()
	}
	e.Must(t, "engine", "reset", "--force") // what the engine itself has mounted is in no command's way
}

// A stop takes down what the engine has mounted, and nothing that a user has.
func TestStopLeavesUsersMounts(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"home", "link"} {
		t.Run(kind, func(t *testing.T) {
			e := lab.New(t)
			if kind == "link" {
				real := filepath.Join(filepath.Dir(e.Home), "real")
				if err := errors.Join(os.Mkdir(real, 0o700), os.Symlink("real", e.Home)); err != nil {
					t.Fatal(err)
				}
			}
			e.Must(t, "engine", "start")
			if kind == "link" {
				e.Must(t, "run", "-d", e.Busybox(t), "sleep", "1000") // the engine mounts something, too
			}
			home, err := filepath.EvalSymlinks(e.Home)
			if err != nil {
				t.Fatal(err)
			}
			value, digest := valuables(t)
			before := digest()
			var points []string
			for _, path := range documentedPaths(t, host.Layout{Home: home}.ID()) {
				if !filepath.IsAbs(path) {
					path = filepath.Join(home, path)
				} else if !strings.HasPrefix(path, "/run/linnet/") {
					continue // a neighbour's, too
				}
				if info, err := os.Stat(path); err != nil || !info.IsDir() {
					continue // nothing can be mounted there while it runs
				}
				points = append(points, filepath.Join(path, "of-a-user"))
			}
			for _, point := range points {
				if err := errors.Join(os.MkdirAll(point, 0o755), unix.Mount(filepath.Join(value, "tree"), point, "", unix.MS_BIND, "")); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
			}
			r := e.Run(t, "engine", "stop", "-t", "0")
			if r.Code != 1 || !strings.Contains(r.Err, "/of-a-user are mounted there, and are not linnet's to remove") || !strings.Contains(r.Err, "hint: unmount it (umount /run/linnet/") {
				t.Errorf("exit code %d\n%s", r.Code, r.Err)
			}
			if digest() != before {
				t.Error("files were lost")
			}
			mounts, err := host.Mounts()
			if err != nil {
				t.Fatal(err)
			}
			volatile := "/run/linnet/" + host.Layout{Home: home}.ID()
			for _, m := range host.MountsAt(mounts, home, volatile) {
				if m.Point == volatile {
					continue // the engine's memory, in which a user's mount is
				}
				at := slices.Index(points, m.Point)
				if at < 0 {
					t.Errorf("%s (%s) is left mounted", m.Point, m.Type)
					continue
				}
				points = slices.Delete(points, at, at+1)
				if err := unix.Unmount(m.Point, 0); err != nil {
					t.Error(err)
				}
			}
			if len(points) > 0 {
				t.Errorf("unmounted: %q", points)
			}
		})
	}
}
