//go:build e2e && linux

package docker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// machine is what the system shows of an engine: this network namespace is the suite's alone, and mounts and directories go by the
// names of the home.
type machine struct {
	rules, links, mounts, files, processes []string
}

// look looks at the machine.
func (c *client) look(t testing.TB) (m machine) {
	t.Helper()
	l := c.layout()
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		for _, line := range output(t, program) {
			line, _, _ = strings.Cut(line, " [")
			if line != "" && line[0] != '#' && line[0] != '*' && line != "COMMIT" { // a table without rules is none
				m.rules = append(m.rules, program+" "+line)
			}
		}
	}
	for _, line := range output(t, "ip", "-br", "link") {
		name, _, _ := strings.Cut(strings.Fields(line)[0], "@")
		m.links = append(m.links, name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4]
		if strings.HasPrefix(point, c.Home+"/") || strings.HasPrefix(point, l.Volatile()) || strings.HasPrefix(point, "/run/docker") || strings.HasPrefix(point, "/var/run/docker") {
			m.mounts = append(m.mounts, point)
		}
	}
	for _, pattern := range []string{
		l.Volatile() + "*", "/run/docker*", "/var/lib/docker*", "/run/containerd/*/moby", "/run/containerd/*/*/moby", "/var/run/docker*", "/etc/docker*",
		"/sys/fs/cgroup/*/docker", "/sys/fs/cgroup/*/linnet-" + l.ID(), "/sys/fs/cgroup/linnet-" + l.ID(), "/run/netns/*", "/var/lib/containerd*", "/etc/cni*", "/opt/containerd*",
	} {
		found, _ := filepath.Glob(pattern) // the pattern is fine
		m.files = append(m.files, found...)
	}
	for _, p := range c.processes() {
		m.processes = append(m.processes, fmt.Sprintf("%d %s", p.pid, p.cmdline))
	}
	return m
}

func output(t testing.TB, argv ...string) (lines []string) {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// since lists what is there and was not; the names of the default network's bridge and its rules only after a reset.
func (m machine) since(before machine, reset bool) (left []string) {
	for _, kind := range []struct {
		name        string
		now, before []string
	}{
		{"rule", m.rules, before.rules},
		{"link", m.links, before.links},
		{"mount", m.mounts, before.mounts},
		{"file", m.files, before.files},
		{"process", m.processes, before.processes},
	} {
		for _, one := range kind.now {
			kept := !reset && (strings.Contains(one, "linnet-") || strings.Contains(one, "CNI-") || strings.Contains(one, "ln-"))
			if !kept && !slices.Contains(kind.before, one) {
				left = append(left, kind.name+" "+one)
			}
		}
	}
	return left
}

// furnish makes what leaves traces: containers that run, with ports of both kinds and a network of their own, stopped and paused ones,
// one that restarts, volumes, a build.
func (c *client) furnish(t testing.TB) {
	t.Helper()
	c.must(t, "network", "create", "net")
	c.must(t, "network", "create", "--ipv6", "--subnet", "fd00:1234::/64", "six")
	c.must(t, "volume", "create", "data")
	page := "echo page >>/data/index.html; exec httpd -f -p 80 -h /data"
	c.must(t, "run", "-d", "--name", "web", "--network", "net", "-v", "data:/data", "-p", "18140:80", image, "sh", "-c", page)
	c.must(t, "run", "-d", "--name", "local", "-p", "127.0.0.1:18141:80", "-p", "127.0.0.1:18141:80/udp", image, "sleep", "1000")
	c.must(t, "run", "-d", "--name", "v6", "--network", "six", image, "sleep", "1000")
	c.must(t, "run", "-d", "--name", "always", "--restart", "always", "--tmpfs", "/t", "--shm-size", "8m", image, "sleep", "1000")
	c.must(t, "run", "-d", "--name", "paused", image, "sleep", "1000")
	c.must(t, "pause", "paused")
	c.must(t, "run", "--name", "ended", image, "true")
	c.must(t, "run", "-d", "--name", "host", "--network", "host", "--pid", "host", image, "sleep", "1000")
	dir := write(t, map[string]string{"Dockerfile": "FROM " + image + "\nRUN echo 1 >/one\n"})
	c.must(t, "build", "-q", "-t", "built", dir)
}

// nothing fails the test for all that is left.
func (c *client) nothing(t testing.TB, when string, before machine, reset bool) {
	t.Helper()
	if left := c.look(t).since(before, reset); len(left) > 0 {
		t.Errorf("%s there are:\n%s", when, strings.Join(left, "\n"))
	}
}

// After stop and after reset nothing of dockerd and its containers is left; stop keeps what is on the disk.
func TestStopAndResetLeaveNothing(t *testing.T) {
	e := ownEngine(t)
	before := (&client{Engine: e}).look(t)
	c := on(t, e)
	c.furnish(t)
	begun := time.Now()
	c.Must(t, "engine", "stop")
	t.Logf("stopped in %v", time.Since(begun))
	c.nothing(t, "after a stop", before, false)

	c.Must(t, "engine", "start")
	lab.Eventually(t, "the container that always restarts, alone", func() bool {
		return c.run(t, nil, "ps", "--format", "{{.Names}}").Out == "always\n"
	})
	c.must(t, "start", "web")
	if got := c.must(t, "exec", "web", "cat", "/data/index.html"); got != "page\npage" {
		t.Errorf("the volume has %q", got)
	}
	if got := c.must(t, "images", "-q", "built"); got == "" {
		t.Error("the image is gone")
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:18140", 5*time.Second); err != nil {
		t.Errorf("the port after a stop and a start: %v", err)
	}

	pid := c.awake(t)
	kill9(t, pid)
	c.Must(t, "engine", "stop")
	c.nothing(t, "after dockerd was killed, and a stop", before, false)

	c.Must(t, "engine", "start")
	c.awake(t)
	c.must(t, "start", "web", "local", "v6")
	c.Must(t, "engine", "reset", "--force")
	c.nothing(t, "after a reset", before, true)
	if entries, err := os.ReadDir(c.Home); err == nil && len(entries) > 0 {
		t.Errorf("the home has %v", entries)
	}
}

// After everything was killed at once no process has taken anything away: reset does.
func TestResetAfterEverythingWasKilled(t *testing.T) {
	e := ownEngine(t)
	before := (&client{Engine: e}).look(t)
	c := on(t, e)
	c.furnish(t)
	pids := strings.Fields(c.must(t, "inspect", "-f", "{{.State.Pid}}", "web", "local", "v6", "always", "paused", "host"))
	for _, p := range c.processes() {
		pids = append(pids, fmt.Sprint(p.pid))
	}
	for _, pid := range pids {
		_ = exec.Command("kill", "-9", pid).Run() // some have gone with others
	}
	c.Must(t, "engine", "reset", "--force")
	lab.Eventually(t, "the killed to be gone", func() bool { return len(c.processes()) == 0 })
	c.nothing(t, "after a kill of everything, and a reset", before, true)
}

// A port that is taken is refused with its number, and the container can be removed.
func TestRefusedPort(t *testing.T) {
	c := sharedClient(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:18142")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Cleanup(func() { c.remove(t, "refused") })
	c.Must(t, "run", "-d", "--name", "taken", "-p", "127.0.0.1:18143:80", image, "sh", "-c", "echo ours >/index.html; exec httpd -f -p 80 -h /")
	t.Cleanup(func() { c.Run(t, "rm", "-f", "taken") })
	for _, port := range []string{"18142", "18143"} { // a program's, and a container's of linnet
		r := c.run(t, nil, "run", "-d", "--name", "refused-"+port, "-p", "127.0.0.1:"+port+":80", image, "sleep", "1000")
		t.Logf("exit code %d: %s", r.Code, r.Err)
		if r.Code != 125 || !strings.Contains(r.Err, "127.0.0.1:"+port) || !strings.Contains(r.Err, "already") {
			t.Errorf("exit code %d, %s", r.Code, r.Err)
		}
		begun := time.Now()
		c.must(t, "rm", "refused-"+port)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("docker rm took %v", took)
		}
	}
	if got := output(t, "busybox", "wget", "-qO-", "http://127.0.0.1:18143/"); !slices.Equal(got, []string{"ours"}) {
		t.Errorf("linnet's port answers %q", got)
	}
}

// Another user reaches neither the socket nor what is kept, nor what the daemons know; nothing listens on TCP.
func TestAnotherUserIsRefused(t *testing.T) {
	c := sharedClient(t)
	t.Cleanup(func() { c.remove(t, "private") })
	c.must(t, "run", "-d", "--name", "private", "-e", "TOKEN=hush", image, "sleep", "1000")
	dockerd, agent := c.awake(t), c.daemon(t, "agent").PID
	// What lies above the home lets every user through, so that it is the home and what is in it that refuses.
	if err := os.Chmod(filepath.Dir(c.Home), 0o755); err != nil {
		t.Fatal(err)
	}
	l := c.layout()
	for _, path := range []string{
		l.DockerRoot(), filepath.Join(l.DockerRoot(), "containers"), l.DockerState(), filepath.Join(l.DockerState(), "netns"), l.Config("dockerd.json"), l.Log("dockerd"),
		fmt.Sprintf("/proc/%d/environ", dockerd), fmt.Sprintf("/proc/%d/fd", dockerd), fmt.Sprintf("/proc/%d/environ", agent), fmt.Sprintf("/proc/%d/fd", agent),
	} {
		program := "cat"
		if info, err := os.Stat(path); err != nil {
			t.Errorf("root does not see %s: %v", path, err)
		} else if info.IsDir() {
			program = "ls"
		}
		r := end(t, asNobody(exec.Command("/bin/busybox", program, path)))
		if r.Code == 0 || !strings.Contains(r.Err, "Permission denied") {
			t.Errorf("%s %s as another user: %+v", program, path, r)
		}
	}
	for _, socket := range []string{l.DockerSocket(), l.Socket("dockerd")} {
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		ps := asNobody(exec.CommandContext(ctx, "curl", "-sv", "--unix-socket", socket, "http://docker/_ping"))
		r := end(t, ps)
		cancel()
		if r.Code == 0 || !strings.Contains(r.Err, "Permission denied") {
			t.Errorf("connecting to %s as another user: %+v", socket, r)
		}
		if info, err := os.Stat(socket); err != nil || info.Mode().Perm()&0o077 != 0 && socket == l.DockerSocket() {
			t.Errorf("%s has mode %v (%v)", socket, info.Mode(), err)
		}
	}
	if got := listening(t); len(got) > 0 {
		t.Errorf("listening on TCP: %q", got)
	}
}

// asNobody has a command run as a user without any right.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	const nobody = 65534
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// listening lists the TCP sockets of this network namespace that listen: the suite's own there are none of just now.
func listening(t testing.TB) (all []string) {
	t.Helper()
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const listens = "0A"
			if fields := strings.Fields(line); len(fields) > 3 && fields[3] == listens {
				all = append(all, fields[1])
			}
		}
	}
	return all
}
