//go:build e2e && linux

package native_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// neighbour is another engine on this host, in the test's network namespace.
type neighbour struct {
	name  string
	netns string
	argv  []string // its client
	env   []string
	port  string
}

func (n neighbour) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), lab.Timeout)
	defer cancel()
	cmd := lab.InNetns(ctx, n.netns, append(slices.Clone(n.argv), args...)...)
	cmd.Env = append(os.Environ(), n.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", n.name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// state is what must be the same as long as only the neighbour's own user acts.
func (n neighbour) state(t *testing.T) string {
	t.Helper()
	return strings.Join([]string{
		n.run(t, "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}}"),
		n.processes(t),
		n.run(t, "images", "-q", "--no-trunc"),
		n.run(t, "network", "ls", "--format", "{{.ID}} {{.Name}}"),
		n.run(t, "volume", "ls", "-q"),
	}, "\n")
}

// processes lists the neighbour's containers with their first process and its start time.
func (n neighbour) processes(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, id := range strings.Fields(n.run(t, "ps", "-q", "--no-trunc")) {
		pid := n.run(t, "inspect", id, "--format", "{{.State.Pid}}")
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			t.Fatalf("%s: container %s: %v", n.name, id, err)
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		lines = append(lines, id+" "+pid+" since "+strings.Fields(after)[19])
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// furnish gives the neighbour a container with a published port, an image, a network and a
// volume whose names we are going to use as well.
func (n neighbour) furnish(t *testing.T, rootfs string) {
	t.Helper()
	n.run(t, "import", rootfs, "neighbour/busybox:1")
	n.run(t, "tag", "neighbour/busybox:1", "linnet-test/busybox")
	n.run(t, "network", "create", "shared")
	n.run(t, "volume", "create", "shared")
	n.run(t, "run", "-d", "--name", "theirs", "--network", "shared", "-p", "127.0.0.1:"+n.port+":80", "neighbour/busybox:1",
		"/bin/busybox", "sh", "-c", "echo "+n.name+" > /index.html; exec /bin/busybox httpd -f -p 80 -h /")
	t.Cleanup(func() {
		n.run(t, "rm", "-f", "theirs")
		n.run(t, "network", "rm", "shared")
		n.run(t, "volume", "rm", "shared")
		n.run(t, "rmi", "-f", "neighbour/busybox:1", "linnet-test/busybox")
	})
	lab.Eventually(t, n.name+" to answer", func() bool {
		out, err := lab.InNetns(t.Context(), n.netns, "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:"+n.port+"/").Output()
		return err == nil && strings.TrimSpace(string(out)) == n.name
	})
}

func newNetns(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("lnco%d", os.Getpid())
	command(t, "ip", "netns", "add", name)
	t.Cleanup(func() { command(t, "ip", "netns", "del", name) })
	command(t, "ip", "-n", name, "link", "set", "lo", "up")
	return "/run/netns/" + name
}

// startDocker runs Debian's docker with directories of its own.
func startDocker(t *testing.T, netns string) neighbour {
	t.Helper()
	dir := shortDir(t)
	socket := "unix://" + dir + "/docker.sock"
	daemon(t, netns, nil, "/usr/sbin/dockerd", "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--host", socket, "--pidfile", dir+"/pid", "--storage-driver", "vfs")
	n := neighbour{name: "docker", netns: netns, argv: []string{"docker", "--host", socket}, port: "18080"}
	lab.Eventually(t, "dockerd", func() bool {
		return lab.InNetns(t.Context(), netns, append(slices.Clone(n.argv), "version")...).Run() == nil
	})
	return n
}

// startNerdctl runs a containerd and a nerdctl at the places where they are by default.
func startNerdctl(t *testing.T, netns string) neighbour {
	t.Helper()
	if _, err := os.Stat("/run/containerd/containerd.sock"); err == nil {
		t.Fatal("a containerd of this host's own is at its default place: the test would get into its way")
	}
	dir := shortDir(t)
	libexec := filepath.Join(lab.Root(), "libexec", "linnet")
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("version = 3\nroot = %q\ndisabled_plugins = [\"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.grpc.v1.cri\", \"io.containerd.nri.v1.nri\"]\n", dir+"/root")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + libexec + "/bin:" + os.Getenv("PATH"), "CNI_PATH=" + libexec + "/cni", "NETCONFPATH=" + dir + "/net.d"}
	daemon(t, netns, env, libexec+"/bin/containerd", "--config", config)
	n := neighbour{
		name: "nerdctl", netns: netns, port: "18081", env: env,
		argv: []string{libexec + "/bin/nerdctl", "--data-root", dir + "/data"},
	}
	lab.Eventually(t, "the neighbour's containerd", func() bool {
		cmd := lab.InNetns(t.Context(), netns, append(slices.Clone(n.argv), "ps")...)
		cmd.Env = append(os.Environ(), env...)
		return cmd.Run() == nil
	})
	return n
}

// daemon runs a program for as long as the test and keeps what it says.
func daemon(t *testing.T, netns string, env []string, argv ...string) {
	t.Helper()
	cmd := lab.InNetns(context.WithoutCancel(t.Context()), netns, argv...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%.4000s", argv[0], &said)
		}
	})
}

// shortDir is a directory with a short path; what is mounted below it at the end is unmounted.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lnco-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		mounts, _ := os.ReadFile("/proc/self/mounts")
		for line := range strings.Lines(string(mounts)) {
			if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
				_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
			}
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

func compose(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	text := "services:\n  one:\n    image: linnet-test/busybox\n    command: [/bin/busybox, sleep, infinity]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// busyboxTar is a root file system with nothing but busybox.
func busyboxTar(t *testing.T) string {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range []tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(busybox))},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(busybox); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rootfs.tar")
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func fetch(t *testing.T, netns, port string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	out, err := lab.InNetns(ctx, netns, "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:"+port+"/").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// iptables lists the rules and chains of a namespace, without their counters.
func iptables(t *testing.T, netns string) []string {
	t.Helper()
	out, err := lab.InNetns(t.Context(), netns, "iptables-save").Output()
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(out)) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " [")
		if line != "" && line[0] != '#' {
			rules = append(rules, line)
		}
	}
	return rules
}

func linksOf(t *testing.T, netns string) []string {
	t.Helper()
	out, err := lab.InNetns(t.Context(), netns, "ip", "-br", "-4", "addr").Output()
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		links = append(links, fields[0]+" "+strings.Join(fields[2:], " "))
	}
	slices.Sort(links)
	return links
}

// foreignLeases lists the leases that host-local keeps at its default place.
func foreignLeases(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/var/lib/cni/networks/*/*")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func command(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}
