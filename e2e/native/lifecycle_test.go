//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
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
	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/host"
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

func TestRestartAndLogs(t *testing.T) {
	e := lab.New(t)
	e.Must(t, "engine", "start")
	before := engineStatus(t, e)
	e.Must(t, "vm", "restart")
	after := engineStatus(t, e)
	for _, name := range []string{"agent", "containerd", "buildkitd"} {
		b, a := daemonNamed(t, before, name), daemonNamed(t, after, name)
		if a.State != "running" || b.PID == a.PID || a.Adopted || a.Restarts != 0 {
			t.Errorf("%s: before %+v, after %+v", name, b, a)
		}
	}
	all := e.Must(t, "engine", "logs")
	for _, prefix := range []string{"agent | ", "containerd | ", "buildkitd | "} {
		if !strings.Contains(all, "\n"+prefix) && !strings.HasPrefix(all, prefix) {
			t.Errorf("no line begins with %q", prefix)
		}
	}
	one := e.Must(t, "engine", "logs", "agent")
	if strings.Count(one, "agent starts") != 2 || strings.Contains(one, "agent | ") {
		t.Errorf("the agent's log:\n%s", one)
	}
	tail := e.Must(t, "engine", "logs", "--tail", "2", "agent")
	if lines := strings.Split(one, "\n"); tail != strings.Join(lines[len(lines)-2:], "\n") {
		t.Errorf("--tail 2 shows %q", tail)
	}
	if r := e.Run(t, "engine", "logs", "nonesuch"); r.Code != 2 || r.Err != "linnet: engine logs: there is no log \"nonesuch\"\nhint: one of agent, containerd, buildkitd\n" {
		t.Errorf("an unknown log: exit code %d, %q", r.Code, r.Err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	follow := e.Command(ctx, "engine", "logs", "-f", "-n", "0", "agent")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	follow.Stdout = out
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// What is written before the follower has looked for the first time is not for it.
	lab.Eventually(t, "a line that is added", func() bool {
		appendTo(t, layoutOf(e).Log("agent"), "a line of the test\n")
		return strings.Contains(shown(), "a line of the test\n")
	})
	if err := follow.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("Ctrl-C during logs -f: %v", err)
	}
}

// A log that has grown over its size is rotated when an agent starts, and the daemon that
// was running all along writes on.
func TestLogsAreRotatedUnderARunningDaemon(t *testing.T) {
	e := lab.New(t)
	if err := os.MkdirAll(e.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.Home, "linnet.yaml"), []byte("engine:\n  logSize: 64KiB\n  logFiles: 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "engine", "start")
	path := layoutOf(e).Log("buildkitd")
	for round := range 3 {
		mark := fmt.Sprintf("round %d\n", round)
		appendTo(t, path, mark+strings.Repeat("x", 64<<10)+"\n")
		kill9(t, daemonNamed(t, engineStatus(t, e), "agent").PID)
		e.Must(t, "ps")
		lab.Eventually(t, "the rotation", func() bool {
			text, err := os.ReadFile(path + ".1")
			return err == nil && bytes.Contains(text, []byte(mark))
		})
	}
	lab.Eventually(t, "the log to be small", func() bool { info, err := os.Stat(path); return err == nil && info.Size() < 64<<10 })
	if found, _ := filepath.Glob(path + ".*"); len(found) != 1 {
		t.Errorf("with logFiles: 2 there are, beside the log, %v", found)
	}
	d := daemonNamed(t, engineStatus(t, e), "buildkitd")
	if !d.Adopted || d.Restarts != 0 {
		t.Errorf("buildkitd: %+v", d)
	}
	// buildkitd says a word when it is asked to end.
	e.Must(t, "engine", "stop")
	if text := logOf(t, e, "buildkitd"); text == "" || strings.ContainsRune(text, 0) {
		t.Errorf("after the rotation the log is %q", text)
	}
}

// A network gets an interface and leases of linnet's own before its first container, however
// it is made, and removing it leaves alone what a nerdctl beside us has under that name.
func TestNetworksAreOurOwn(t *testing.T) {
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

// hasty is an engine that does not wait long for containers that do not listen: a shell or
// a sleep that is a container's first process never does.
func hasty(t testing.TB) *lab.Engine {
	t.Helper()
	e := lab.New(t)
	e.Env = append(e.Env, "LINNET_ENGINE_STOP_TIMEOUT=1s")
	return e
}

// layoutOf is where the engine's files are.
func layoutOf(e *lab.Engine) host.Layout {
	return host.Layout{Home: e.Home, Libexec: filepath.Join(lab.Root(), "libexec", "linnet")}
}

func engineStatus(t testing.TB, e *lab.Engine) guest.Status {
	t.Helper()
	var s guest.Status
	if err := json.Unmarshal([]byte(e.Must(t, "engine", "status", "--format", "json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func daemonNamed(t testing.TB, s guest.Status, name string) guest.Daemon {
	t.Helper()
	for _, d := range s.Daemons {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no %s in %+v", name, s)
	return guest.Daemon{}
}

func logOf(t testing.TB, e *lab.Engine, name string) string {
	t.Helper()
	text, err := os.ReadFile(layoutOf(e).Log(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

type proc struct {
	pid     int
	cmdline string
}

// processesOf lists what runs of an engine: whatever names its home, and whatever is in its
// control group (what parks published ports names nothing).
func processesOf(e *lab.Engine) []proc {
	var out []proc
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || len(text) == 0 {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cgroup"))
		cmdline := strings.ReplaceAll(string(text), "\x00", " ")
		if strings.Contains(cmdline, e.Home+"/") || strings.Contains(string(groups), "/linnet-"+layoutOf(e).ID()+"\n") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			out = append(out, proc{pid, cmdline})
		}
	}
	return out
}

// nothingRuns checks that a stopped engine has no process, no mount, no socket.
func nothingRuns(t testing.TB, e *lab.Engine) {
	t.Helper()
	if left := processesOf(e); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4]
		if strings.HasPrefix(point, e.Home+"/") || strings.HasPrefix(point, layoutOf(e).Volatile()+"/") {
			t.Errorf("still mounted: %s", line)
		}
	}
	for _, pattern := range []string{layoutOf(e).Run() + "/*", layoutOf(e).ShimSockets() + "/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if info, err := os.Lstat(file); err == nil && info.Mode()&os.ModeSocket != 0 {
				t.Errorf("the socket %s is left", file)
			}
		}
	}
}

// sessionOf lists the living processes of a session.
func sessionOf(session int) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// After the name in parentheses: state, ppid, pgrp, session.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 3 && fields[3] == strconv.Itoa(session) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// kill9 kills processes and waits until they are gone with all their threads: the kernel
// takes connections to the sockets of one that is dying.
func kill9(t testing.TB, pids ...int) {
	t.Helper()
	var fds []int
	for _, pid := range pids {
		if pid <= 1 {
			t.Fatalf("pid %d", pid)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("process %d: %v", pid, err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	for i, fd := range fds {
		lab.Eventually(t, fmt.Sprintf("process %d to be gone", pids[i]), func() bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
			return err == nil && n > 0
		})
	}
}

func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// rules lists the iptables rules that have one of the words.
func rules(t testing.TB, words ...string) string {
	t.Helper()
	out, err := exec.Command("iptables-save").Output()
	if err != nil {
		t.Fatalf("iptables-save: %v", err)
	}
	var found strings.Builder
	for line := range strings.Lines(string(out)) {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			found.WriteString(line)
		}
	}
	return found.String()
}

func interfaces(t testing.TB) []string {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// bridgeOf is the interface that a network's configuration names.
func bridgeOf(t testing.TB, e *lab.Engine, network string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(layoutOf(e).NetConf(), "default", "nerdctl-"+network+".conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var conf struct {
		Plugins []struct {
			Bridge string `json:"bridge"`
		} `json:"plugins"`
	}
	if err := json.Unmarshal(text, &conf); err != nil || len(conf.Plugins) == 0 {
		t.Fatalf("%s: %v", text, err)
	}
	return conf.Plugins[0].Bridge
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// page fetches a page from a published port, as soon as its server listens.
func page(t testing.TB, port string) string {
	t.Helper()
	var text []byte
	lab.Eventually(t, "the page on port "+port, func() bool {
		r, err := http.Get("http://127.0.0.1:" + port + "/index.html")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		text, err = io.ReadAll(r.Body)
		return err == nil && r.StatusCode == http.StatusOK
	})
	return string(text)
}
