//go:build e2e && linux

package native_test

import (
	"archive/tar"
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// TestMigrate takes an image and a volume from Debian's docker: owners, modes, setuid, a hard link, a hole, a device and a capability
// are as they were, and a second time takes nothing.
func TestMigrate(t *testing.T) {
	e := lab.New(t)
	netns := newNetns(t)
	docker := startDocker(t, netns)
	docker.run(t, "import", "--change", "CMD [\"/bin/busybox\", \"echo\", \"moved\"]", busyboxTar(t), "moving/busybox:1")
	docker.run(t, "tag", "moving/busybox:1", "moving/busybox:2")
	docker.run(t, "volume", "create", "data")
	docker.run(t, "volume", "create", "empty")
	theirs := docker.run(t, "volume", "inspect", "--format", "{{.Mountpoint}}", "data")
	furnishVolume(t, theirs)
	docker.run(t, "create", "--name", "stays", "moving/busybox:1")
	socket := docker.argv[len(docker.argv)-1]

	plan := e.Must(t, "migrate", "--from", socket, "--dry-run")
	for _, line := range []string{"image\tmoving/busybox:1\t", "volume\tdata\t\ttake\t", "container\tstays\t\tleave\tcontainers are made anew"} {
		if !strings.Contains(plan, line) {
			t.Errorf("the plan lacks %q:\n%s", line, plan)
		}
	}
	if out := e.Must(t, "migrate", "--from", socket, "--force"); out != "moving/busybox:1\ndata\nempty" {
		t.Errorf("took %q", out)
	}
	for _, tag := range []string{"1", "2"} {
		if out := e.Must(t, "run", "--rm", "--network=none", "moving/busybox:"+tag); out != "moved" {
			t.Errorf("moving/busybox:%s: %q", tag, out)
		}
	}
	ours := e.Must(t, "volume", "inspect", "--format", "{{.Mountpoint}}", "data")
	if got, want := describeVolume(t, ours), describeVolume(t, theirs); got != want {
		t.Errorf("the volume is\n%s\nand not\n%s", got, want)
	}
	if out := e.Must(t, "migrate", "--from", socket, "--force"); out != "" {
		t.Errorf("the second time it took %q", out)
	}
	if left := docker.run(t, "ps", "-a", "--format", "{{.Names}}"); left != "stays" {
		t.Errorf("at docker there are the containers %q", left)
	}
	if left := docker.run(t, "images", "-q", "linnet-migrate"); left != "" {
		t.Errorf("at docker the helper's image is left: %s", left)
	}
}

// furnishVolume makes a file of each kind.
func furnishVolume(t *testing.T, dir string) {
	t.Helper()
	path := func(name string) string { return filepath.Join(dir, name) }
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(path("db/base"), 0o755))
	check(os.WriteFile(path("db/base/row"), []byte("text\n"), 0o600))
	check(os.Link(path("db/base/row"), path("hard")))
	check(os.Symlink("db/base/row", path("soft")))
	check(os.WriteFile(path("program"), []byte("#!"), 0o755))
	check(os.Chown(path("program"), 7, 8))
	check(syscall.Chmod(path("program"), 0o6755))
	check(os.Chown(path("db"), 999, 998))
	check(syscall.Chmod(path("db"), 0o3770))
	check(os.Chown(path("soft"), 0, 0))
	check(os.Lchown(path("soft"), 5, 6))
	check(syscall.Mknod(path("null"), syscall.S_IFCHR|0o666, 1<<8|3))
	check(syscall.Mkfifo(path("pipe"), 0o640))
	hole, err := os.Create(path("sparse"))
	check(err)
	_, err = hole.WriteAt([]byte("end"), 64<<20)
	check(err)
	check(hole.Close())
	check(os.WriteFile(path("capable"), nil, 0o755))
	command(t, "setcap", "cap_net_bind_service=ep", path("capable"))
	command(t, "touch", "-h", "-d", "2020-02-02 02:02:02.020202", path("soft"), path("program"), path("db"))
}

// describeVolume is the archive that tar makes of a directory, entry by entry, and how much of the sparse file there is.
func describeVolume(t *testing.T, dir string) string {
	t.Helper()
	var archive bytes.Buffer
	cmd := lab.InNetns(t.Context(), "", "tar", "-c", "--sort=name", "--format=pax", "--numeric-owner", "--sparse", "--xattrs", "--xattrs-include=*",
		"--pax-option=delete=atime,delete=ctime", "-C", dir, "-f", "-", ".")
	cmd.Stdout = &archive
	if err := cmd.Run(); err != nil {
		t.Fatalf("tar of %s: %v", dir, err)
	}
	var lines []string
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		lines = append(lines, strings.Join([]string{
			h.Name, h.FileInfo().Mode().String(), itoa(h.Uid) + ":" + itoa(h.Gid), h.Linkname, h.ModTime.UTC().Truncate(time.Second).String(), itoa(int(h.Size)),
			h.PAXRecords["SCHILY.xattr.security.capability"],
		}, " "))
	}
	var s syscall.Stat_t
	if err := syscall.Stat(filepath.Join(dir, "sparse"), &s); err != nil {
		t.Fatal(err)
	}
	if s.Blocks*512 > 1<<20 {
		lines = append(lines, "sparse takes "+itoa(int(s.Blocks*512))+" bytes")
	}
	return strings.Join(lines, "\n")
}

// TestContainersKnowTheHost by the name that Docker Desktop gives it, on every network and in compose, and by host-gateway.
func TestContainersKnowTheHost(t *testing.T) {
	e := lab.New(t)
	image := e.Busybox(t)
	gateway := strings.Fields(e.Must(t, "run", "--rm", image, "grep", "host.docker.internal", "/etc/hosts"))[0]
	listener, err := net.Listen("tcp", gateway+":0") // the bridge's address, from when the engine started
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the host answers")) }))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	e.Must(t, "network", "create", "own")
	for _, args := range [][]string{{}, {"--network=own"}, {"--add-host=other:host-gateway"}, {"--add-host=host.docker.internal:host-gateway"}} {
		argv := append(append([]string{"run", "--rm"}, args...), image, "wget", "-q", "-O", "-", "http://host.docker.internal"+port+"/")
		if out := e.Must(t, argv...); out != "the host answers" {
			t.Errorf("%q: %q", args, out)
		}
	}
	if out := e.Must(t, "run", "--rm", "--add-host=host.docker.internal:10.1.2.3", image, "grep", "host.docker.internal", "/etc/hosts"); !strings.HasPrefix(out, "10.1.2.3") || strings.Contains(out, gateway) {
		t.Errorf("what the line says is not what holds: %q", out)
	}
	for _, network := range []string{"none", "host"} {
		e.Must(t, "run", "--rm", "--network="+network, image, "true")
	}
	file := filepath.Join(e.User, "compose.yaml")
	text := "name: knows\nservices:\n  one:\n    image: " + image + "\n    command: [wget, -q, -O, /dev/null, \"http://host.docker.internal" + port + "/\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "compose", "-f", file, "up", "-d")
	lab.Eventually(t, "the service to end", func() bool {
		return e.Must(t, "inspect", "--format={{.State.Status}} {{.State.ExitCode}}", "knows-one-1") == "exited 0"
	})
	e.Must(t, "compose", "-f", file, "down")
}
