//go:build e2e && linux

package native_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// state is what must be the same as long as nobody but the neighbour's own user acts.
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

// A docker and a nerdctl beside us keep their containers, ports, networks, rules and leases
// while we start, run, build, publish, compose, stop and reset; names that both sides use do
// not meet. What is ours is gone afterwards.
func TestNeighboursAreLeftAlone(t *testing.T) {
	netns := newNetns(t)
	rootfs := busyboxTar(t)
	neighbours := []neighbour{startDocker(t, netns), startNerdctl(t, netns)}
	project := compose(t)
	for _, n := range neighbours {
		n.furnish(t, rootfs)
	}
	answer := func(when string) {
		t.Helper()
		for _, n := range neighbours {
			if got := fetch(t, netns, n.port); got != n.name {
				t.Errorf("%s: the port of %s answers %q", when, n.name, got)
			}
		}
	}
	answer("before")
	// A compose project on their side: its container and its network are called as ours will be.
	neighbours[1].run(t, "compose", "-f", project, "-p", "twin", "up", "-d")
	t.Cleanup(func() { neighbours[1].run(t, "compose", "-f", project, "-p", "twin", "down") })
	var states []string
	for _, n := range neighbours {
		states = append(states, n.state(t))
	}
	rules, links, leases := iptables(t, netns), linksOf(t, netns), foreignLeases(t)
	for _, n := range neighbours {
		keepAsking(t, n)
	}

	e := lab.New(t)
	e.Netns = netns
	image := e.Busybox(t)
	answer("after a build")
	e.Must(t, "network", "create", "shared")
	e.Must(t, "run", "-d", "--name", "theirs", "--network", "shared", "-p", "127.0.0.1:18099:80", image, "sh", "-c", "echo ours > /index.html; exec httpd -f -p 80 -h /")
	e.Must(t, "volume", "create", "shared")
	if got := fetch(t, netns, "18099"); got != "ours" {
		t.Errorf("our port answers %q", got)
	}
	if r := e.Run(t, "compose", "-f", project, "-p", "twin", "up", "-d"); r.Code != 0 {
		t.Fatalf("compose up: %s%s", r.Out, r.Err)
	}
	answer("in use")
	ours := 0
	for _, rule := range iptables(t, netns) {
		if !slices.Contains(rules, rule) {
			ours++
		}
	}
	if used := linksOf(t, netns); ours < 10 || len(used) < len(links)+2 {
		t.Errorf("in use, there are %d rules of ours and these interfaces: %q; there should be more", ours, used)
	}
	if ps := e.Must(t, "compose", "-f", project, "-p", "twin", "ps", "-q"); len(strings.Fields(ps)) != 1 {
		t.Errorf("our project has other containers than its own: %q", ps)
	}
	if r := e.Run(t, "compose", "-f", project, "-p", "twin", "down"); r.Code != 0 {
		t.Errorf("compose down: %s%s", r.Out, r.Err)
	}
	e.Must(t, "rm", "-f", "theirs")
	e.Must(t, "network", "rm", "shared")
	answer("after our networks of the same name went")
	e.Must(t, "run", "-d", "--name", "left", "-p", "127.0.0.1:18098:80", image, "sleep", "infinity")
	e.Must(t, "engine", "stop", "-t", "1s")
	answer("after stop")
	e.Must(t, "ps")
	e.Must(t, "engine", "reset", "--force")
	answer("after reset")

	for i, n := range neighbours {
		if now := n.state(t); now != states[i] {
			t.Errorf("%s changed from\n%s\nto\n%s", n.name, states[i], now)
		}
	}
	if now := linksOf(t, netns); !slices.Equal(now, links) {
		t.Errorf("interfaces changed from %q to %q", links, now)
	}
	if now := foreignLeases(t); !slices.Equal(now, leases) {
		t.Errorf("leases changed from %q to %q", leases, now)
	}
	// The chains that all users of the CNI plugins share are there because of the neighbour;
	// beyond these nothing may be added.
	now := iptables(t, netns)
	for _, rule := range rules {
		if !slices.Contains(now, rule) {
			t.Errorf("the rule %q is gone", rule)
		}
	}
	for _, rule := range now {
		if !slices.Contains(rules, rule) {
			t.Errorf("the rule %q of ours is still there", rule)
		}
	}
}

// When everything of an engine was killed at once, nobody has run the hooks that take a
// container's firewall rules away; reset takes them along all the same.
func TestResetTakesTheRulesOfTheKilledAlong(t *testing.T) {
	netns := newNetns(t)
	e := lab.New(t)
	e.Netns = netns
	image := e.Busybox(t)
	e.Must(t, "run", "--rm", "-p", "18095:80", image, "true")
	shared := iptables(t, netns) // the chains that all share came with the first published port
	e.Must(t, "network", "create", "mine")
	var containers []string
	for port, network := range map[string]string{"18097": "bridge", "18096": "mine"} {
		id := e.Must(t, "run", "-d", "-p", port+":80", "--network", network, image, "sleep", "infinity")
		containers = append(containers, id)
	}
	pids := enginePIDs(t, e)
	for _, id := range containers {
		pid, err := strconv.Atoi(e.Must(t, "inspect", "--format", "{{.State.Pid}}", id))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if rules := strings.Join(iptables(t, netns), "\n"); !strings.Contains(rules, "--dports 18096") || !strings.Contains(rules, "--dports 18097") {
		t.Fatalf("the ports have no rules: %s", rules)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	e.Must(t, "engine", "reset", "--force")
	now := iptables(t, netns)
	for _, rule := range now {
		if !slices.Contains(shared, rule) || strings.Contains(rule, "linnet-") {
			t.Errorf("the rule %q is left", rule)
		}
	}
	if !slices.Contains(now, ":CNI-FORWARD -") {
		t.Errorf("the chains that all share are gone: %q", now)
	}
	for _, id := range containers {
		if left, _ := filepath.Glob("/var/lib/cni/results/*" + id + "*"); len(left) > 0 {
			t.Errorf("%q is left", left)
		}
		if left, _ := filepath.Glob("/run/containerd/runc/*/" + id); len(left) > 0 {
			t.Errorf("%q is left", left)
		}
	}
}

// enginePIDs lists the processes that have the engine's home on their command line.
func enginePIDs(t *testing.T, e *lab.Engine) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err == nil && bytes.Contains(text, []byte(e.Home+"/")) {
			pids = append(pids, pid)
		}
	}
	if len(pids) < 4 {
		t.Fatalf("agent, containerd, buildkitd and shims should run, found %v", pids)
	}
	return pids
}

// keepAsking asks for the neighbour's page over and over until the test ends, and fails the
// test for each time that it was not answered.
func keepAsking(t *testing.T, n neighbour) {
	t.Helper()
	file, err := os.Open(n.netns)
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	asked, failed := 0, []string{}
	go func() {
		defer close(stopped)
		defer file.Close()
		// The thread enters the network namespace for good; locked, it ends with this function.
		runtime.LockOSThread()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			failed = append(failed, err.Error())
			return
		}
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			asked++
			if err := ask(n); err != nil {
				failed = append(failed, time.Now().Format(time.TimeOnly)+" "+err.Error())
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		t.Logf("%s was asked %d times", n.name, asked)
		if len(failed) > 0 || asked < 50 {
			t.Errorf("%s did not answer %d of %d times: %q", n.name, len(failed), asked, failed[:min(5, len(failed))])
		}
	})
}

// ask fetches the neighbour's page once, on the calling thread.
func ask(n neighbour) error {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+n.port, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	page, err := io.ReadAll(conn)
	if err == nil && !strings.HasSuffix(string(page), "\n"+n.name+"\n") {
		err = fmt.Errorf("the answer is %q", page)
	}
	return err
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

// startDocker runs Debian's docker with folders of its own.
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

// shortDir is a folder with a short path; what is mounted below it at the end is unmounted.
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
