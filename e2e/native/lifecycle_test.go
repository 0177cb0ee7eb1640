//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// Sixty-four first commands at once, on a home that is not even there, start one engine and
// all get the right answer.
func TestSixtyFourFirstCommandsStartOneEngine(t *testing.T) {
	e := lab.New(t)
	const many = 64
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	answers := make([]string, many)
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			var out, errs bytes.Buffer
			cmd := e.Command(ctx, "volume", "create", fmt.Sprintf("volume-%d", i))
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Run(); err != nil {
				t.Errorf("command %d: %v\n%s", i, err, &errs)
			}
			answers[i] = out.String()
		})
	}
	wg.Wait()
	for i, answer := range answers {
		if want := fmt.Sprintf("volume-%d\n", i); answer != want {
			t.Errorf("answer %d is %q", i, answer)
		}
	}
	if got := len(strings.Fields(e.Must(t, "volume", "ls", "-q"))); got != many {
		t.Errorf("%d volumes, want %d", got, many)
	}
	// No command has waited for BuildKit.
	lab.Eventually(t, "buildkitd to answer", func() bool { return daemonNamed(t, engineStatus(t, e), "buildkitd").State == "running" })
	s := engineStatus(t, e)
	for _, name := range []string{"agent", "containerd", "buildkitd"} {
		if d := daemonNamed(t, s, name); d.State != "running" || d.Restarts != 0 || d.Adopted {
			t.Errorf("%s: %+v", name, d)
		}
		pids := 0
		for _, p := range processesOf(e) {
			if filepath.Base(strings.Fields(p.cmdline)[0]) == map[string]string{"agent": "linnet-agent"}[name]+strings.TrimPrefix(name, "agent") {
				pids++
			}
		}
		if pids != 1 {
			t.Errorf("%d processes of %s, want 1:\n%v", pids, name, processesOf(e))
		}
	}
	log := logOf(t, e, "agent")
	if n := strings.Count(log, "agent starts"); n != 1 {
		t.Errorf("the agent started %d times:\n%s", n, log)
	}
	if n := strings.Count(log, "msg=watching"); n != 2 {
		t.Errorf("%d daemons were started, want 2:\n%s", n, log)
	}
}

// An engine that a command on a terminal started lives on when the terminal hangs up and
// every process of its session is killed.
func TestTheEngineOutlivesItsSession(t *testing.T) {
	e := lab.New(t)
	shell := exec.Command("/bin/sh", "-c", lab.Linnet()+" engine start; echo ready; sleep 1000")
	shell.Env = e.Environ()
	terminal, err := pty.Start(shell) // a session of its own, this its controlling terminal
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []byte
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		buf := make([]byte, 4096)
		for {
			n, err := terminal.Read(buf)
			mu.Lock()
			seen = append(seen, buf[:n]...)
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	lab.Eventually(t, "the engine to run", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Contains(seen, []byte("ready\r\n"))
	})
	before := engineStatus(t, e)
	session := shell.Process.Pid
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGKILL} {
		for _, pid := range sessionOf(session) {
			_ = syscall.Kill(pid, signal) // it may have gone with the one before
		}
		_ = syscall.Kill(-session, signal) // the process group
	}
	_ = shell.Wait() // killed
	terminal.Close() // the hang-up
	<-drained
	lab.Eventually(t, "the session to be gone", func() bool { return len(sessionOf(session)) == 0 })
	if r := e.Run(t, "ps"); r.Code != 0 || r.Err != "" {
		t.Errorf("ps: exit code %d, %q", r.Code, r.Err)
	}
	after := engineStatus(t, e)
	for _, name := range []string{"agent", "containerd", "buildkitd"} {
		if b, a := daemonNamed(t, before, name), daemonNamed(t, after, name); b.PID != a.PID {
			t.Errorf("%s was process %d and is %d", name, b.PID, a.PID)
		}
	}
	for _, group := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		if _, err := os.Stat(filepath.Join(group, "cgroup.procs")); err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(group, "linnet-"+layoutOf(e).ID(), "cgroup.procs"))
		if err != nil || !slices.Contains(strings.Fields(string(text)), strconv.Itoa(daemonNamed(t, after, "containerd").PID)) {
			t.Errorf("containerd is not in a control group of ours below %s: %v %q", group, err, text)
		}
	}
}

// Stop gives each container its stop signal and its time, then leaves nothing behind.
func TestStopEndsContainersAndLeavesNothingRunning(t *testing.T) {
	e := lab.New(t)
	image := e.Busybox(t)
	port := freePort(t)
	e.Must(t, "volume", "create", "notes")
	note := func(name string) string {
		return "trap 'echo $0 > /notes/" + name + "; exit 0' TERM USR1; while :; do sleep 0.1; done"
	}
	e.Must(t, "run", "-d", "--name", "polite", "-v", "notes:/notes", image, "sh", "-c", note("polite"))
	e.Must(t, "run", "-d", "--name", "special", "--stop-signal", "USR1", "-v", "notes:/notes", image, "sh", "-c",
		"trap 'echo > /notes/special; exit 0' USR1; trap 'echo > /notes/wrong' TERM; while :; do sleep 0.1; done")
	e.Must(t, "run", "-d", "--name", "deaf", image, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
	web := e.Must(t, "run", "-d", "--name", "web", "-p", "127.0.0.1:"+port+":80", image, "sh", "-c", "echo page > /index.html; exec httpd -f -p 80 -h /")
	e.Must(t, "pause", e.Must(t, "run", "-d", "--name", "paused", image, "sleep", "1000"))
	if got := page(t, port); got != "page\n" {
		t.Fatalf("the page is %q", got)
	}
	if rules(t, web) == "" || rules(t, "--dport "+port+" ") == "" {
		t.Fatal("no rules of the published port")
	}

	begin := time.Now()
	r := e.Run(t, "engine", "stop", "-t", "1s")
	took := time.Since(begin)
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Err)
	}
	// The setting's 10 s would be the time without the flag.
	if took < time.Second || took > 9*time.Second {
		t.Errorf("it took %v, and the container that does not listen had 1 s", took)
	}
	for _, want := range []string{"stopping containers: stopped container " + web[:12], "stopping containerd: done"} {
		if !strings.Contains(r.Err, want) {
			t.Errorf("it does not say %q:\n%s", want, r.Err)
		}
	}
	written, err := filepath.Glob(filepath.Join(e.Home, "native", "nerdctl", "*", "volumes", "default", "notes", "_data", "*"))
	if err != nil || len(written) != 2 || filepath.Base(written[0]) != "polite" || filepath.Base(written[1]) != "special" {
		t.Errorf("the containers wrote %v", written)
	}
	if left := rules(t, web, "--dport "+port+" "); left != "" {
		t.Errorf("rules of the published port are left:\n%s", left)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Errorf("the published port is still taken: %v", err)
	} else {
		l.Close()
	}
	nothingRuns(t, e)
	if again := e.Run(t, "engine", "stop"); again.Code != 0 || again.Err != "the engine is not running\n" {
		t.Errorf("stopping twice: exit code %d, %q", again.Code, again.Err)
	}
	e.Env = append(e.Env, "LINNET_ENGINE_STOP_TIMEOUT=1s") // for the clean-up
	for _, name := range []string{"polite", "special", "deaf", "web", "paused"} {
		if !slices.Contains(strings.Fields(e.Must(t, "ps", "-a", "--format", "{{.Names}}")), name) {
			t.Errorf("container %s is lost", name)
		}
	}
	// A stopped container can be started as ever, port and all.
	e.Must(t, "start", "web")
	if got := page(t, port); got != "page\n" {
		t.Errorf("the page is %q after the engine's restart", got)
	}
}

// Restart policies are honoured when the engine comes back, and what a user has stopped
// stays stopped.
func TestRestartPoliciesWhenTheEngineComesBack(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	for _, c := range [][2]string{{"always", "always"}, {"unless", "unless-stopped"}, {"failing", "on-failure"}, {"never", "no"}, {"ended", "unless-stopped"}} {
		e.Must(t, "run", "-d", "--name", c[0], "--restart", c[1], image, "sleep", "1000")
	}
	e.Must(t, "stop", "-t", "0", "ended")
	e.Must(t, "engine", "stop", "-t", "0s")
	nothingRuns(t, e)
	if r := e.Run(t, "ps"); r.Code != 0 { // the next command
		t.Fatal(r.Err)
	}
	running := func() []string {
		names := strings.Fields(e.Must(t, "ps", "--format", "{{.Names}}"))
		slices.Sort(names)
		return names
	}
	lab.Eventually(t, "the containers to come back", func() bool { return len(running()) >= 2 })
	// The monitor looks at all containers in one pass, so the others had their turn when
	// one that ends by itself was started again.
	e.Must(t, "run", "-d", "--name", "witness", "--restart", "always", image, "true")
	lab.Eventually(t, "another pass of the restart monitor", func() bool {
		count := e.Must(t, "inspect", "--format", "{{.RestartCount}}", "witness")
		return count != "0"
	})
	e.Must(t, "rm", "-f", "witness")
	if got := running(); !slices.Equal(got, []string{"always", "unless"}) {
		t.Errorf("running: %v", got)
	}
}

// Reset leaves nothing on the machine but the user's own file.
func TestResetLeavesNothing(t *testing.T) {
	e := hasty(t)
	settings := "# mine\nlog:\n  level: info\n"
	if err := os.MkdirAll(e.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.Home, "linnet.yaml"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	image := e.Busybox(t)
	port := freePort(t)
	e.Must(t, "network", "create", "mine")
	web := e.Must(t, "run", "-d", "--restart", "always", "-p", port+":80", image, "sleep", "1000")
	other := e.Must(t, "run", "-d", "--net", "mine", image, "sleep", "1000")

	if r := e.Run(t, "engine", "reset"); r.Code != 2 ||
		!strings.HasSuffix(r.Err, "hint: there is no terminal to ask on: use --force\n") || !strings.HasPrefix(r.Err, "linnet: ") {
		t.Errorf("off a terminal: exit code %d, %q", r.Code, r.Err)
	}
	if got := len(strings.Fields(e.Must(t, "ps", "-q"))); got != 2 {
		t.Fatalf("%d containers after a reset that was refused", got)
	}

	id := layoutOf(e).ID()
	if names := interfaces(t); !slices.Contains(names, "linnet-"+id) || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "ln-") }) {
		t.Errorf("interfaces before: %v", names)
	}
	bridges := []string{"linnet-" + id, bridgeOf(t, e, "mine")}
	e.Must(t, "vm", "reset", "--force")
	nothingRuns(t, e)
	for _, name := range bridges {
		if slices.Contains(interfaces(t), name) {
			t.Errorf("the interface %s is left", name)
		}
	}
	if left := rules(t, web, other); left != "" {
		t.Errorf("rules are left:\n%s", left)
	}
	left := []string{"/run/linnet/" + id, filepath.Join(e.Home, "native")}
	for _, group := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"} {
		left = append(left, filepath.Join(group, "linnet-"+id))
	}
	for _, path := range left {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
	for _, container := range []string{web, other} {
		for _, pattern := range []string{"/run/nerdctl/*/*" + container + "*", "/run/containerd/*/*/" + container + "*", "/var/lib/cni/results/*" + container + "*", "/sys/fs/cgroup/*/default/" + container} {
			if found, _ := filepath.Glob(pattern); len(found) > 0 {
				t.Errorf("left: %v", found)
			}
		}
	}
	entries, err := os.ReadDir(e.Home)
	if err != nil || len(entries) != 1 {
		t.Errorf("the home holds %v (%v), want linnet.yaml alone", entries, err)
	}
	if text, err := os.ReadFile(filepath.Join(e.Home, "linnet.yaml")); err != nil || string(text) != settings {
		t.Errorf("linnet.yaml is %q (%v)", text, err)
	}
	if got := e.Must(t, "images", "-q"); got != "" {
		t.Errorf("images after the reset: %q", got)
	}
}

// A network gets an interface and leases of linnet's own before its first container, however
// it is made, and removing it leaves alone what a nerdctl beside us has under that name.
func TestNetworksAreOurOwn(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	t.Run("made and used at once", func(t *testing.T) {
		for i := range 10 {
			name := fmt.Sprintf("net-%d", i)
			id := e.Must(t, "network", "create", name)
			foreign := "br-" + id[:12]
			e.Must(t, "run", "--rm", "--net", name, image, "true")
			names := interfaces(t)
			if slices.Contains(names, foreign) || !slices.Contains(names, bridgeOf(t, e, name)) {
				t.Errorf("the network %s has the interface %s, of %v", name, bridgeOf(t, e, name), names)
			}
			if leases, _ := filepath.Glob(filepath.Join("/var/lib/cni/networks", name)); len(leases) > 0 {
				t.Errorf("leases outside of our home: %v", leases)
			}
			e.Must(t, "network", "rm", name)
		}
	})
	t.Run("made by compose", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "project")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "compose.yaml")
		text := "services:\n  a:\n    image: " + image + "\n    command: sleep 1000\n    networks: [own]\nnetworks:\n  own: {}\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		e.Must(t, "compose", "-f", file, "up", "-d")
		bridge := bridgeOf(t, e, "project_own")
		if !strings.HasPrefix(bridge, "ln-") || !slices.Contains(interfaces(t), bridge) {
			t.Errorf("the interface is %s, of %v", bridge, interfaces(t))
		}
		if leases, _ := filepath.Glob(filepath.Join(layoutOf(e).Leases(), "project_own", "*.*.*.*")); len(leases) != 1 {
			t.Errorf("leases: %v", leases)
		}
		e.Must(t, "compose", "-f", file, "down")
		if slices.Contains(interfaces(t), bridge) {
			t.Errorf("the interface %s is left", bridge)
		}
	})
	t.Run("beside another's of the same name", func(t *testing.T) {
		// What a system's nerdctl would have made for a network of this name.
		id := e.Must(t, "network", "create", "shared")
		foreign := "br-" + id[:12]
		run(t, "ip", "link", "add", foreign, "type", "bridge")
		t.Cleanup(func() { run(t, "ip", "link", "del", foreign) })
		e.Must(t, "run", "--rm", "--net", "shared", image, "true")
		e.Must(t, "network", "rm", "shared")
		if !slices.Contains(interfaces(t), foreign) {
			t.Errorf("removing our network removed %s", foreign)
		}
	})
}
