//go:build e2e && linux

package native_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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

// When everything of an engine was killed at once, no process has run the hooks that take a
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
