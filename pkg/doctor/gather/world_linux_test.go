package gather

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/host"
)

// world is a small host in a temporary directory, on which nothing is wrong, and a home in it in which an engine was started once.
type world struct {
	t   *testing.T
	s   Source
	env map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lnd-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, env: map[string]string{"HOME": filepath.Join(dir, "user"), "PATH": filepath.Join(dir, "bin"), "USER": "alice"}}
	w.s = Source{
		Root: dir, Program: filepath.Join(dir, "bin", "linnet"), DockerSocket: filepath.Join(dir, "var", "run", "docker.sock"),
		Layout:    host.Layout{Home: filepath.Join(dir, "h"), Libexec: filepath.Join(dir, "libexec"), Runtime: filepath.Join(dir, "run")},
		LookupEnv: func(name string) (string, bool) { value, ok := w.env[name]; return value, ok },
		DNSPort:   nameServer(t), DNSLimit: time.Minute, // a busy machine is no fault of its
	}
	for path, text := range map[string]string{
		"/proc/filesystems": "nodev\toverlay\n", "/proc/self/mountinfo": fixture(t, "mountinfo.v2"), "/sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
		"/proc/sys/kernel/seccomp/actions_avail": "allow\n", "/proc/sys/net/ipv4/ip_forward": "1\n", "/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
		"/proc/sys/user/max_user_namespaces": "9000\n", "/proc/sys/kernel/unprivileged_userns_clone": "1\n", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
		"/proc/sys/fs/inotify/max_user_instances": "128\n", "/proc/sys/fs/binfmt_misc/status": "enabled\n", "/proc/meminfo": fixture(t, "meminfo"),
		"/proc/self/limits": fixture(t, "limits"), "/proc/" + strconv.Itoa(os.Getppid()) + "/limits": fixture(t, "limits"), "/dev/net/tun": "", "/usr/lib/libseccomp.so.2": "",
		"/etc/subuid": "alice:100000:65536\n", "/etc/subgid": "alice:100000:65536\n", "/etc/resolv.conf": "nameserver 127.0.0.53\n",
		w.s.Layout.Spec(): "{}", w.s.Layout.Log("agent"): "",
	} {
		w.write(path, text)
	}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		w.write("/proc/self/ns/"+kind, "")
	}
	for _, program := range []string{"/usr/sbin/xtables-nft-multi", "/usr/sbin/nft", "/usr/bin/newuidmap", "/usr/bin/newgidmap", w.s.Program} {
		w.write(program, "")
		w.must(os.Chmod(w.path(program), 0o755))
	}
	w.must(os.Symlink("xtables-nft-multi", w.path("/usr/sbin/iptables")))
	for _, dir := range []string{w.s.Layout.Run(), w.env["HOME"]} {
		w.must(os.MkdirAll(dir, 0o700))
	}
	return w
}

// nameServer answers every question, on 127.0.0.53, and returns its port. macOS has no such address by itself.
func nameServer(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.53:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		text := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(text)
			if err != nil {
				return
			}
			text[2] |= 0x80
			_, _ = c.WriteTo(text[:n], from)
		}
	}()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// path is a path of the system's, or one in the world already.
func (w *world) path(path string) string {
	if strings.HasPrefix(path, w.s.Root) {
		return path
	}
	return w.s.at(path)
}

func (w *world) write(path, text string) {
	w.t.Helper()
	path = w.path(path)
	w.must(os.MkdirAll(filepath.Dir(path), 0o700))
	w.must(os.WriteFile(path, []byte(text), 0o600))
}

func (w *world) remove(path string) {
	w.t.Helper()
	w.must(os.Remove(w.path(path)))
}

// deadSocket makes a socket on which no process listens.
func (w *world) deadSocket(path string) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(path), 0o700))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	w.must(err)
	l.SetUnlinkOnClose(false)
	l.Close()
}

func (w *world) dockerConfig(value any) {
	w.t.Helper()
	text, err := json.Marshal(value)
	w.must(err)
	w.write(w.env["HOME"]+"/.docker/config.json", string(text))
}

// judge reads the facts of the world, as root or as an ordinary user for whom a native engine is wanted, and returns what is wrong. How
// much this host's disk holds, and its clock, are not the world's.
func (w *world) judge(ordinary bool, change func(*doctor.Facts)) (wrong []doctor.Result) {
	w.t.Helper()
	f := Read(w.t.Context(), w.s)
	f.OS, f.Root, f.Backend, f.Wanted, f.Engine.Snapshotter, f.Engine.State = "linux", !ordinary, "native", "native", "overlayfs", "stopped"
	f.Kernel.CGroup.Delegated = f.Kernel.CGroup.Controllers
	f.Home.FS, f.System.Unsynchronised = doctor.FileSystem{}, doctor.Unknown
	if change != nil {
		change(f)
	}
	for _, r := range doctor.Judge(f, doctor.Checks()) {
		if r.State == doctor.Warning || r.State == doctor.Failed {
			wrong = append(wrong, r)
		}
	}
	return wrong
}
