//go:build e2e && linux

package install_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// timeout bounds one command on a machine; apt's first one fetches lists and packages.
const timeout = 10 * time.Minute

// machine is a Debian in namespaces of its own: what a privileged container has (machine.sh).
type machine struct {
	root  string // as this host sees it; what is mounted inside is not there
	pid   int    // of its first process, as this host sees it
	group string // its control group, below each of this host's hierarchies
}

// newMachine unpacks a root and starts a machine on it. When the test ends, all its processes end, and nothing of it is left.
func newMachine(t *testing.T, suite string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "linnet-install-")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{root: filepath.Join(dir, "root"), group: filepath.Base(dir)}
	t.Cleanup(func() {
		m.removeGroups(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Mkdir(m.root, 0o755); err != nil {
		t.Fatal(err)
	}
	mustHost(t, "tar", "-C", m.root, "--numeric-owner", "--xattrs", "-xf", rootOf(t, suite))
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err == nil {
		err = os.WriteFile(filepath.Join(m.root, "etc/resolv.conf"), resolv, 0o644)
	}
	if err == nil {
		err = m.start(t, strings.TrimSuffix(rootOf(t, suite), ".tar")+".packages")
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start starts the first process; packages is a directory of this host in which apt keeps what it has fetched, since that takes longest.
func (m *machine) start(t *testing.T, packages string) error {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(packages, "partial"), 0o755); err != nil {
		return err
	}
	script, err := filepath.Abs("machine.sh")
	if err != nil {
		return err
	}
	first := exec.Command("sh", script, m.root, m.group, packages)
	first.Env, first.Stderr = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, os.Stderr
	first.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL, Setsid: true,
	}
	out, err := first.StdoutPipe()
	if err != nil {
		return err
	}
	if err := first.Start(); err != nil {
		return err
	}
	m.pid = first.Process.Pid
	t.Cleanup(func() { // before the clean-up of the directory
		_ = first.Process.Kill() // with it goes every process of its namespace
		_ = first.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return fmt.Errorf("the machine did not start: it said %q, %w", line, err)
	}
	return nil
}

// hierarchies are the paths of this host's control groups.
func hierarchies() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	var paths []string
	for line := range strings.Lines(string(text)) {
		if before, after, _ := strings.Cut(line, " - "); strings.HasPrefix(after, "cgroup") {
			paths = append(paths, strings.Fields(before)[4])
		}
	}
	return paths, err
}

// groups are the control groups below the machine's, by hierarchy, those further inside first.
func (m *machine) groups() ([]string, error) {
	paths, err := hierarchies()
	var groups []string
	for _, path := range paths {
		walk := filepath.WalkDir(filepath.Join(path, m.group), func(path string, e os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err == nil && e.IsDir() {
				groups = append(groups, path)
			}
			return err
		})
		err = errors.Join(err, walk)
	}
	slices.Reverse(groups)
	return groups, err
}

// removeGroups removes the machine's control groups, whose processes are being killed.
func (m *machine) removeGroups(t *testing.T) {
	t.Helper()
	groups, err := m.groups()
	if err != nil {
		t.Error(err)
	}
	for _, group := range groups {
		lab.Eventually(t, "no process to be in "+group, func() bool {
			err := unix.Rmdir(group)
			return err == nil || errors.Is(err, unix.ENOENT)
		})
	}
}

// network is whose network a command is in: the machine's has an interface lo and nothing else.
type network bool

const (
	own      network = true
	theHosts network = false
)

// enter is the beginning of a command line that runs on the machine: in its control groups, then in its namespaces.
func (m *machine) enter(net network) []string {
	argv := []string{
		"sh", "-c", `for p in $GROUPS_TO_JOIN; do echo 0 >"$p" || exit; done; unset GROUPS_TO_JOIN; exec "$@"`, "sh",
		"nsenter", "--target", strconv.Itoa(m.pid), "--mount", "--uts", "--ipc", "--pid", "--cgroup",
	}
	if net == own {
		argv = append(argv, "--net")
	}
	return append(argv, "--root", "--wd", "--")
}

// procs are the files that say which processes are in the machine's control groups.
func (m *machine) procs() (files []string) {
	paths, _ := hierarchies()
	for _, path := range paths {
		file := filepath.Join(path, m.group, "init", "cgroup.procs")
		if _, err := os.Stat(file); err != nil {
			file = filepath.Join(path, m.group, "cgroup.procs")
		}
		files = append(files, file)
	}
	return files
}

// result is what a command did.
type result struct {
	out, err string
	code     int
	took     time.Duration
}

// run runs a command on the machine, as root after a login, with nothing on standard input.
func (m *machine) run(t *testing.T, net network, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	argv = append(m.enter(net), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"GROUPS_TO_JOIN=" + strings.Join(m.procs(), " "),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal: what would ask a question fails
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	begin := time.Now()
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%q: %v, %v\n%s%s", argv, err, ctx.Err(), &out, &errs)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode(), time.Since(begin)}
}

// must runs a command that has to succeed.
func (m *machine) must(t *testing.T, net network, argv ...string) result {
	t.Helper()
	r := m.run(t, net, argv...)
	if r.code != 0 {
		t.Fatalf("%q: exit code %d\n%s%s", argv, r.code, r.out, r.err)
	}
	return r
}

// linnet runs a linnet command line, which has to succeed, and returns its standard output without the last newline.
func (m *machine) linnet(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSuffix(m.must(t, own, append([]string{"linnet"}, args...)...).out, "\n")
}

// bring puts a file of this host into the machine.
func (m *machine) bring(t *testing.T, from, to string) {
	t.Helper()
	path := filepath.Join(m.root, to)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	mustHost(t, "cp", from, path)
}

// mustHost runs a command on this host.
func mustHost(t *testing.T, argv ...string) string {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", argv, err, out, &errs)
	}
	return string(out)
}
