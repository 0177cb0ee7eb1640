//go:build e2e && linux

package native_test

import (
	"context"
	"fmt"
	"io"
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

// envImpostor makes this test binary a process that does nothing, whatever its command line says.
const envImpostor = "LINNET_TEST_IMPOSTOR"

func impostorMain() {
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is the end of the test
}

// impostor starts a process that has a command line of another; alive reports whether it runs.
func impostor(t *testing.T, argv ...string) (alive func() bool) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: program, Args: argv, Env: []string{envImpostor + "=1"}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { in.Close(); <-ended })
	return func() bool {
		select {
		case <-ended:
			return false
		default:
			return true
		}
	}
}

// A process that has the words of one of ours on its command line is not ours: it holds up no
// start, and neither a stop nor a reset ends it.
func TestWordsMakeNoProcessOurs(t *testing.T) {
	e := hasty(t)
	l := layoutOf(e)
	alive := map[string]func() bool{
		"containerd": impostor(t, l.Bin("containerd"), "--config", l.Config("containerd.toml")),
		"drain":      impostor(t, l.Bin("containerd"), "--config", l.Config("containerd-drain.toml")),
		"buildkitd":  impostor(t, l.Bin("buildkitd"), "--config", l.Config("buildkitd.toml")),
		"shim":       impostor(t, l.Bin("containerd-shim-runc-v2"), "-namespace", "default", "-id", "x", "-address", l.Socket("containerd")),
	}
	begin := time.Now()
	if r := e.Run(t, "engine", "start"); r.Code != 0 {
		t.Fatalf("engine start after %v: exit code %d\n%s", time.Since(begin), r.Code, r.Err)
	}
	image := e.Busybox(t)
	if got := e.Must(t, "run", "--rm", image, "echo", "here"); got != "here" {
		t.Errorf("a container says %q", got)
	}
	for _, command := range [][]string{{"engine", "restart"}, {"engine", "stop"}, {"engine", "reset", "--force"}} {
		e.Must(t, command...)
		for name, is := range alive {
			if !is() {
				t.Errorf("%q ended a process that only looks like %s", command, name)
				delete(alive, name)
			}
		}
	}
}

// The number of the process that held a container's ports may be another's by now, which goes on.
func TestTheNumberOfAPortReserverKillsNoOtherProcess(t *testing.T) {
	goesOn := func(t *testing.T, e *lab.Engine) bool {
		t.Helper()
		id := e.Must(t, "run", "-d", "-p", "127.0.0.1:"+freePort(t)+":80", e.Busybox(t), "sleep", "1000")
		note := filepath.Join("/run/nerdctl/default", id, "port-reserver.pid")
		text, err := os.ReadFile(note)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		kill9(t, pid)
		other := exec.Command("sleep", "infinity") // the same words, and no socket
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		err = os.WriteFile(note, []byte(strconv.Itoa(other.Process.Pid)), 0o600)
		r := e.Run(t, "rm", "-f", id)
		_ = other.Process.Signal(syscall.SIGTERM)
		_ = other.Wait() // which signal came first is in its state
		if err != nil || r.Code != 0 {
			t.Fatalf("%v; rm: exit code %d\n%s", err, r.Code, r.Err)
		}
		return other.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM
	}
	if !goesOn(t, lab.Shared(t)) {
		t.Error("the removal of a container killed another process")
	}
	t.Run("Unmended", func(t *testing.T) {
		e := lab.New(t)
		e.Env = append(e.Env, lab.Unmended(t, "nerdctl", "port-reserver"))
		if goesOn(t, e) {
			t.Error("without the mend nothing is seen")
		}
	})
}

// installation is another copy of what is installed; it is used with a home of another user's.
func installation(t *testing.T) string {
	t.Helper()
	beside := filepath.Join(lab.Root(), "_output") // on the same file system
	err := os.MkdirAll(beside, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(beside, "other-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, part := range []string{"bin", "libexec"} {
		run(t, "cp", "-al", filepath.Join(lab.Root(), part), dir)
	}
	return dir
}

// Two installations on one home have one engine: the second uses what the first one started, also
// when only the daemons are left of it, and then ends it.
func TestTwoInstallationsHaveOneEngine(t *testing.T) {
	e := hasty(t)
	other := installation(t)
	second := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(other, "bin", "linnet"), args...)
		cmd.Env = e.Environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("the second installation's %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	image := e.Busybox(t)
	e.Must(t, "run", "-d", "--name", "first", image, "sleep", "1000")
	if got := second("ps", "--format", "{{.Names}}"); got != "first" {
		t.Errorf("beside the first one's agent it sees %q", got)
	}
	before, container := engineStatus(t, e), containerProcess(t, e, "first")
	kill9(t, daemonNamed(t, before, "agent").PID)
	if got := second("exec", "first", "echo", "here"); !strings.HasSuffix(got, "here") {
		t.Errorf("beside the first one's daemons it says %q", got)
	}
	// A command needs no agent, so that is asked for.
	second("engine", "start")
	after := engineStatus(t, e)
	for _, name := range []string{"containerd", "buildkitd"} {
		if b, a := daemonNamed(t, before, name), daemonNamed(t, after, name); b.PID != a.PID || !a.Adopted {
			t.Errorf("%s was process %d and is %+v", name, b.PID, a)
		}
	}
	if got := containerProcess(t, e, "first"); got != container {
		t.Errorf("the container was %s and is %s", container, got)
	}
	if !strings.Contains(logOf(t, e, "agent"), lab.Root()+"/libexec/linnet/bin/containerd") {
		t.Errorf("the log does not name the first one's containerd:\n%s", logOf(t, e, "agent"))
	}
	kill9(t, daemonNamed(t, after, "agent").PID)
	second("engine", "stop", "-t", "0s")
	nothingRuns(t, e)
}

// oddCaller runs what follows with everything set that a process inherits. $1 is what ulimit lowers:
// hard limits (-HS) too where root may raise them again.
const oddCaller = `how=$1; shift; umask 0
for limit in '-n 256' '-c 0' '-s 1024' '-l 64' '-u 4000' '-i 500' '-q 4096'; do ulimit $how $limit; done
exec env --ignore-signal=HUP,INT,PIPE,TSTP,TTIN,TTOU,USR1 --block-signal=TERM,USR2,CHLD PATH=/tmp/odd:/usr/bin:/bin:/sbin \
	nice -n 15 ionice -c 3 taskset 1 choom -n 700 -- setarch -R "$@"`

// inherited is what a process has of the one that started it, as /proc tells.
func inherited(t *testing.T, pid int) string {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	read := func(name string) string {
		text, err := os.ReadFile(proc + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var out []string
	// What is blocked is each thread's own, and Go's threads block what they like: a container's
	// shows what all of them handed on.
	argv, lines := read("cmdline"), []string{"Umask", "SigIgn", "Cpus_allowed_list"}
	if strings.HasPrefix(argv, "sleep") {
		lines = append(lines, "SigBlk")
	}
	for line := range strings.Lines(read("status")) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains(lines, name) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	for _, name := range []string{"oom_score_adj", "personality", "coredump_filter", "timerslack_ns", "limits"} {
		out = append(out, name+": "+strings.TrimSpace(read(name)))
	}
	stat := read("stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	out = append(out, "nice: "+fields[16], "policy: "+fields[38])
	out = append(out, "io: "+strings.TrimSpace(run(t, "ionice", "-p", strconv.Itoa(pid))))
	for pair := range strings.SplitSeq(read("environ"), "\x00") {
		if strings.HasPrefix(pair, "PATH=") {
			out = append(out, pair)
		}
	}
	return strings.Join(out, "\n")
}

// Whatever the first caller's shell has set, the engine and its containers are as an ordinary
// caller's.
func TestTheFirstCallerSetsNothing(t *testing.T) {
	odd, plain := hasty(t), lab.Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	start := exec.CommandContext(ctx, "/bin/bash", "-c", oddCaller, "bash", lowering(t), lab.Linnet(), "engine", "start")
	start.Env = odd.Environ()
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("engine start: %v\n%s", err, out)
	}
	plain.Must(t, "engine", "start")
	seen := map[*lab.Engine]map[string]string{}
	for _, e := range []*lab.Engine{odd, plain} {
		image, name := e.Busybox(t), "inherits"
		e.Must(t, "run", "-d", "--name", name, image, "sleep", "1000")
		t.Cleanup(func() { e.Run(t, "rm", "-f", name) })
		s := engineStatus(t, e)
		pids := map[string]int{"container": containerPID(t, e, name)}
		for _, d := range []string{"agent", "containerd", "buildkitd"} {
			pids[d] = daemonNamed(t, s, d).PID
		}
		pids["shim"] = parentOf(t, pids["container"])
		seen[e] = map[string]string{}
		for what, pid := range pids {
			seen[e][what] = inherited(t, pid)
		}
		seen[e]["exec"] = e.Must(t, "exec", name, "sh", "-c", "umask; ulimit -a; ulimit -aH; cat /proc/self/oom_score_adj; grep Sig[BI] /proc/self/status")
	}
	for what, want := range seen[plain] {
		if got := seen[odd][what]; got != want {
			t.Errorf("%s has, started by an odd caller:\n%s\nand by another one:\n%s", what, got, want)
		}
	}
	for _, want := range []string{"Umask:\t0022", "SigIgn:\t0000000000000000", "nice: 0", "oom_score_adj: 0", "PATH=" + layoutOf(odd).BinDir() + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} {
		if !strings.Contains(seen[odd]["containerd"], want) {
			t.Errorf("containerd has no %q:\n%s", want, seen[odd]["containerd"])
		}
	}
	t.Logf("a container:\n%s", seen[odd]["container"])
}

// lowering is the option by which ulimit lowers what this process could raise again.
func lowering(t *testing.T) string {
	t.Helper()
	header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return "-HS"
	}
	return "-S"
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}

// A shim that dies while the engine is stopped is a container that has stopped: restart starts.
func TestRestartWhileAShimDies(t *testing.T) {
	t.Parallel()
	e := hasty(t)
	image := e.Busybox(t)
	e.Must(t, "volume", "create", "notes")
	ids := map[string]string{}
	for _, name := range []string{"orphan", "well"} {
		ids[name] = e.Must(t, "run", "-d", "--name", name, "-v", "notes:/notes", image, "sh", "-c", "trap 'echo > /notes/"+name+"' TERM; while :; do sleep 0.1; done")
	}
	pid := containerPID(t, e, "orphan")
	shim := parentOf(t, pid)
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	restart := e.Command(ctx, "engine", "restart", "-t", "2s")
	restart.Stderr = said
	if err := restart.Start(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the containers to be asked to stop", func() bool {
		found, _ := filepath.Glob(filepath.Join(e.Home, "native", "nerdctl", "*", "volumes", "default", "notes", "_data", "orphan"))
		return len(found) == 1
	})
	// It takes no more requests: when the other one has been killed, so it was about to be.
	if err := syscall.Kill(shim, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the other container to be killed", func() bool {
		text, _ := os.ReadFile(said.Name())
		return strings.Contains(string(text), "stopped container "+ids["well"][:12])
	})
	kill9(t, shim)
	err = restart.Wait()
	text, _ := os.ReadFile(said.Name())
	if err != nil {
		t.Errorf("engine restart: %v\n%s", err, text)
	}
	if s := engineStatus(t, e); s.State != "running" {
		t.Errorf("afterwards the engine is %s\n%s", s.State, text)
	}
	if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); len(text) > 0 {
		t.Errorf("the container's process %d is left", pid)
	}
	e.Must(t, "start", "orphan", "well")
	if got := strings.Fields(e.Must(t, "ps", "--format", "{{.Names}}")); len(got) != 2 {
		t.Errorf("running are %q", got)
	}
}
