//go:build e2e && linux

package native_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/relay/relaytest"
)

// hostileGuest is a virtual machine in an attacker's hands: what answers for its agent does what a
// test wants.
type hostileGuest struct {
	agentpb.UnimplementedEngineServer
	agentpb.UnimplementedCommandsServer
	agentpb.UnimplementedPortsServer

	*lab.Engine
	layout host.Layout
	ready  func(agentpb.Engine_ReadyServer) error
	run    func(agentpb.Commands_RunServer) error
	attend func(agentpb.Ports_AttendServer) error
}

func newHostileGuest(t *testing.T) *hostileGuest {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &hostileGuest{Engine: &lab.Engine{Home: filepath.Join(dir, "home"), User: filepath.Join(dir, "user"), Env: []string{"LINNET_BACKEND=lima"}}}
	h.layout = host.Layout{Home: h.Home}
	for _, dir := range []string{h.User, h.layout.VMRun(), h.layout.LimaInstance(), filepath.Dir(h.layout.LimaKey())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// serve answers on a socket until the test ends.
func (h *hostileGuest) serve(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	agentpb.RegisterEngineServer(g, h)
	agentpb.RegisterCommandsServer(g, h)
	agentpb.RegisterPortsServer(g, h)
	// What it serves besides is a BuildKit that accepts.
	buildkit, err := net.Listen("unix", socket+".buildkit")
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(t.Output())
	ctx := context.WithoutCancel(t.Context())
	far, err := agentserver.New(ctx, agentserver.Options{Services: map[string]string{"buildkit": buildkit.Addr().String()}, Stages: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = far.Serve(ctx, l, g) }()
	t.Cleanup(func() {
		g.Stop()
		buildkit.Close()
	})
}

func (h *hostileGuest) Ready(_ *agentpb.ReadyRequest, s agentpb.Engine_ReadyServer) error {
	if h.ready == nil {
		return nil
	}
	return h.ready(s)
}

func (h *hostileGuest) Run(s agentpb.Commands_RunServer) error { return h.run(s) }

func (h *hostileGuest) Attend(s agentpb.Ports_AttendServer) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	return h.attend(s)
}

// measured is a command's end, and the most memory that it had, in MiB.
type measured struct {
	lab.Result
	memory int64
}

// measure runs a command. Of what it writes the first MiB is kept, and the whole counted.
func (h *hostileGuest) measure(t *testing.T, args ...string) measured {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Timeout)
	defer cancel()
	cmd := h.Command(ctx, args...)
	var out, errs head
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	most := watchMemory(cmd.Process.Pid)
	err := cmd.Wait()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("linnet %q: %v, %v", args, err, ctx.Err())
	}
	m := measured{Result: lab.Result{Out: out.kept.String(), Err: errs.kept.String(), Code: cmd.ProcessState.ExitCode()}, memory: most()}
	t.Logf("linnet %q: exit code %d, %d MiB of memory, %d and %d bytes written", args, m.Code, m.memory, out.all, errs.all)
	return m
}

// watchMemory looks at a process until it has ended. The kernel's own account of one that has ended
// begins before it was another program, with what this test has.
func watchMemory(pid int) (most func() int64) {
	ended, seen := make(chan struct{}), make(chan int64, 1)
	go func() {
		var all int64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			if kib, ok := peakOf(pid); ok {
				all = max(all, kib>>10)
			}
			select {
			case <-tick.C:
			case <-ended:
				seen <- all
				return
			}
		}
	}()
	return func() int64 {
		close(ended)
		return <-seen
	}
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakOf is the most memory that a process has had, in KiB.
func peakOf(pid int) (int64, bool) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may have ended
	m := peak.FindSubmatch(text)
	if m == nil {
		return 0, false
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	return kib, err == nil
}

// head keeps the beginning of what is written to it, and counts all of it.
type head struct {
	kept bytes.Buffer
	all  int
}

func (h *head) Write(p []byte) (int, error) {
	h.all += len(p)
	if room := 1<<20 - h.kept.Len(); room > 0 {
		h.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func TestAGuestTakesNoMemoryOfTheHost(t *testing.T) {
	const memoryMax = 96 // MiB
	mib := strings.Repeat("x", 1<<20-100)
	for name, say := range map[string]func(*hostileGuest){
		"600 MiB of events": func(h *hostileGuest) {
			h.ready = func(s agentpb.Engine_ReadyServer) error {
				for i := range 600 {
					if err := s.Send(&agentpb.Event{Kind: agentpb.Event_KIND_STEP, Text: strconv.Itoa(i) + mib}); err != nil {
						return err
					}
				}
				return nil
			}
			h.run = func(s agentpb.Commands_RunServer) error {
				return s.Send(&agentpb.RunReply{What: &agentpb.RunReply_Exit{Exit: &agentpb.Exit{}}})
			}
		},
		"a large error": func(h *hostileGuest) {
			h.run = func(s agentpb.Commands_RunServer) error {
				return s.Send(&agentpb.RunReply{What: &agentpb.RunReply_Exit{Exit: &agentpb.Exit{Code: 1, Error: strings.Repeat(mib, 15)}}})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostileGuest(t)
			say(h)
			h.serve(t, h.layout.VMSocket("agent"))
			m := h.measure(t, "ps")
			if m.memory > memoryMax {
				t.Errorf("ps takes %d MiB", m.memory)
			}
			// One error, or nothing but what was left of the texts.
			if len(m.Err) > 512<<10 || m.Code != 0 && !strings.Contains(m.Err, "linnet: the guest's agent does not keep to the protocol: it ") {
				t.Errorf("ps ends with %d and says %.300q", m.Code, m.Err)
			}
		})
	}
	t.Run("a console of 1 GiB", func(t *testing.T) {
		h := newHostileGuest(t)
		for _, name := range []string{"serial.log", "serialv.log"} {
			path := filepath.Join(h.layout.LimaInstance(), name)
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30)); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"vm", "logs", "-n", "5", "serial"}, {"vm", "logs", "serial"}} {
			if m := h.measure(t, args...); m.memory > memoryMax || m.Code != 0 {
				t.Errorf("%q ends with %d and takes %d MiB: %s", args, m.Code, m.memory, m.Err)
			}
		}
	})
}

// relayOf starts the finished relay to a guest, as if its machine ran.
func (h *hostileGuest) relayOf(t *testing.T, flags ...string) (pid int) {
	t.Helper()
	dir := t.TempDir()
	sshd := relaytest.NewSSHD(t, dir)
	socket := filepath.Join(filepath.Dir(h.Home), "guest.sock")
	sshd.Sockets = map[string]string{"/run/linnet/agent.sock": socket}
	h.serve(t, socket)
	lock, err := host.TryLock(h.layout.VMLock("limactl")) // it is being started
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	address, port, err := net.SplitHostPort(sshd.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		h.layout.VMLock("limactl"): strconv.Itoa(os.Getpid()) + "\n", h.layout.LimaKey(): read(t, sshd.Key), h.layout.HostKey(): read(t, sshd.HostKey),
		filepath.Join(h.layout.LimaInstance(), "ssh.config"): "Hostname " + address + "\nPort " + port + "\nUser me\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := h.Command(ctx, append([]string{"vm", "relay"}, flags...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
		if t.Failed() {
			text, _ := host.ReadTail(h.layout.VMLog("relay"), 4<<10)
			t.Logf("the relay's log: %s", text)
		}
	})
	return cmd.Process.Pid
}

func TestAGuestListensOnThisHostWithinTheRules(t *testing.T) {
	const asked = 15_000
	h := newHostileGuest(t)
	answered := make(chan string, asked)
	port := func(ip string, number uint32) *agentpb.Port {
		return &agentpb.Port{Protocol: "tcp", HostIp: ip, HostPort: number, TargetIp: "127.0.0.1", TargetPort: 80}
	}
	special := []*agentpb.Port{port("127.0.0.77", 80), port("127.0.0.77", 443), port("localhost", 20_001), port("127.0.0.77", 65536+20_002)}
	h.attend = func(s agentpb.Ports_AttendServer) error {
		if err := s.Send(&agentpb.AttendReply{CaughtUp: true}); err != nil {
			return err
		}
		claims := append([]*agentpb.Port(nil), special...)
		for i := range asked {
			claims = append(claims, port("127.0.0.77", uint32(30_000+i)))
		}
		for i, p := range claims {
			if err := s.Send(&agentpb.AttendReply{Id: int64(i + 1), Owner: fmt.Sprintf("c%d/n/e", i), Open: []*agentpb.Port{p}}); err != nil {
				return err
			}
			a, err := s.Recv()
			if err != nil {
				return err
			}
			answered <- a.GetError()
		}
		<-s.Context().Done()
		return nil
	}
	pid := h.relayOf(t)
	var answers []string
	for range asked + len(special) {
		select {
		case a := <-answered:
			answers = append(answers, a)
		case <-time.After(lab.Timeout):
			t.Fatalf("after %d answers there is none", len(answers))
		}
	}
	if n := listenersOf(t, pid); n > 1000 {
		t.Errorf("%d ports are open", n)
	}
	for i, p := range special {
		if answers[i] == "" {
			t.Errorf("port %d at %s is open", p.GetHostPort(), p.GetHostIp())
		}
	}
	if last := answers[len(answers)-1]; !strings.Contains(last, "the virtual machine may publish 1000 ports at most (vm.ports.max in linnet.yaml)") {
		t.Errorf("the last claim is answered %q", last)
	}
	shown, err := relay.Query(t.Context(), h.layout.VMSocket("relay"))
	if err != nil || len(shown.Ports) != 1000 {
		t.Errorf("%d ports are listed, %v", len(shown.Ports), err)
	}
}

// listenersOf counts the TCP sockets of a process that listen.
func listenersOf(t *testing.T, pid int) (n int) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	own := map[string]bool{}
	entries, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	socket := regexp.MustCompile(`^socket:\[(\d+)\]$`)
	for _, e := range entries {
		to, _ := os.Readlink(proc + "fd/" + e.Name()) // closed meanwhile
		if m := socket.FindStringSubmatch(to); m != nil {
			own[m[1]] = true
		}
	}
	for line := range strings.Lines(read(t, proc+"net/tcp")) {
		if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && own[f[9]] {
			n++
		}
	}
	return n
}

func TestAGuestThatTellsOfPortsWithoutEndTakesNoMemory(t *testing.T) {
	h := newHostileGuest(t)
	owner := strings.Repeat("x", 900<<10)
	told, told600 := &atomic.Int64{}, make(chan bool, 1)
	calls := &atomic.Int64{}
	h.attend = func(s agentpb.Ports_AttendServer) error {
		calls.Add(1)
		for {
			if err := s.Send(&agentpb.AttendReply{Owner: owner}); err != nil {
				return err
			}
			if told.Add(1) == 600 {
				told600 <- true
			}
		}
	}
	pid := h.relayOf(t)
	lab.Eventually(t, "much was told, or no relay listens any more", func() bool { return len(told600) > 0 || calls.Load() > 3 })
	if kib, ok := peakOf(pid); !ok || kib > 128<<10 {
		t.Errorf("the relay takes %d MiB", kib>>10)
	}
}
