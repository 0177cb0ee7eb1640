package lima

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/vm/vmtest"
)

// guestOf is the Guest of a machine that runs, with a relay that says of itself what is given.
func guestOf(t *testing.T, m machine, says relay.Status) *Guest {
	t.Helper()
	return guestWith(t, m, says, relay.PortRules{})
}

func guestWith(t *testing.T, m machine, says relay.Status, rules any) *Guest {
	t.Helper()
	m.check(t, m.fake.Put("running", vmtest.Config(m.want.Shape, ""), 100<<30, "locked"))
	m.check(t, os.MkdirAll(m.o.Layout.VMRun(), 0o700))
	l, err := net.Listen("unix", m.o.Layout.VMSocket("relay"))
	m.check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if word, _ := bufio.NewReader(conn).ReadString('\n'); word == "rules\n" {
				_ = json.NewEncoder(conn).Encode(rules)
			} else {
				_ = json.NewEncoder(conn).Encode(says)
			}
			conn.Close()
		}
	}()
	return NewGuest(m.o, "/nosuch/linnet")
}

// mute listens where the agent does, and never says a word.
func mute(t *testing.T, m machine) {
	t.Helper()
	l, err := net.Listen("unix", m.o.Layout.VMSocket("agent"))
	m.check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
}

// serveAgent is an agent with the services that are registered.
func serveAgent(t *testing.T, m machine, register func(*grpc.Server)) {
	t.Helper()
	m.check(t, os.MkdirAll(m.o.Layout.VMRun(), 0o700))
	l, err := net.Listen("unix", m.o.Layout.VMSocket("agent"))
	m.check(t, err)
	server := grpc.NewServer()
	register(server)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
}

// A command does not wait for an agent that the relay will not reach: it says why, and what to do. So it
// does of one that is silent for long.
func TestACommandDoesNotWaitForEver(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	for name, c := range map[string]struct {
		says       relay.Status
		console    string
		limit      time.Duration
		want, hint string
	}{
		"another host key": {
			relay.Status{Error: "logging in to the guest: the guest's host key is A and not B", Hint: "remove the file"},
			"[    1.0] linnet-early: up\r\n[    1.2] linnet-early: names: exit status 1\r\n", time.Hour,
			"reaching the virtual machine: logging in to the guest: the guest's host key is A and not B", "remove the file",
		},
		"a guest that could not be set up": {
			relay.Status{Connected: true},
			"[    0.9] EXT4-fs: well\r\n[    1.0] linnet-early: the data disk: /dev/vdb is not empty\r\n", time.Hour,
			"setting up the virtual machine: the data disk: /dev/vdb is not empty", "`linnet vm logs serial` says more",
		},
		"no agent": {
			relay.Status{Connected: true},
			"", 100 * time.Millisecond, "its agent has not answered for 100ms",
			"`linnet engine restart` starts it anew; its console says what it is at: INSTANCE/serial*.log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			g := guestOf(t, m, c.says)
			mute(t, m)
			m.check(t, os.WriteFile(filepath.Join(m.o.Layout.LimaInstance(), "serial.log"), []byte(c.console), 0o600))
			g.limits.ready = c.limit
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := g.Ready(ctx)
			var h *hint.Error
			if !errors.As(err, &h) || err.Error() != c.want || strings.ReplaceAll(h.Fix, m.o.Layout.LimaInstance(), "INSTANCE") != c.hint {
				t.Errorf("it says %v", told(err))
			}
		})
	}
}

// Who looks at a machine, or stops it, does not wait for an agent that is silent.
func TestASilentAgentHoldsUpNoCommand(t *testing.T) {
	m := newMachine(t)
	g := guestOf(t, m, relay.Status{Connected: true})
	mute(t, m)
	g.limits.info, g.limits.stop = 50*time.Millisecond, 50*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if s, err := g.Status(ctx); err != nil || s.State != "starting" {
		t.Errorf("its status: %q (%v)", s.State, err)
	}
	if err := g.stopEngine(ctx, 0); err != nil {
		t.Errorf("stopping it: %v", err)
	}
}

// busy is an agent of another program, in which commands of other clients run already.
type busy struct {
	agentpb.UnimplementedEngineServer
	agentpb.UnimplementedUpkeepServer
	protocol int32
}

func (b busy) Info(context.Context, *agentpb.InfoRequest) (*agentpb.InfoReply, error) {
	return &agentpb.InfoReply{Program: "another", Protocol: b.protocol}, nil
}

func (busy) Replace(agentpb.Upkeep_ReplaceServer) error {
	return status.Error(codes.FailedPrecondition, "2 commands run")
}

// A start whose agent is used already, by those who waited for it, succeeds with that agent if it
// understands this client.
func TestAnAgentThatIsUsedIsReplacedLater(t *testing.T) {
	for protocol, understood := range map[int32]bool{agent.Protocol: true, agent.Protocol + 1: false} {
		m := newMachine(t)
		serveAgent(t, m, func(s *grpc.Server) {
			agentpb.RegisterEngineServer(s, busy{protocol: protocol})
			agentpb.RegisterUpkeepServer(s, busy{protocol: protocol})
		})
		g := NewGuest(m.o, "/nosuch/linnet")
		program := g.layout.Agent(g.program)
		m.check(t, os.MkdirAll(filepath.Dir(program), 0o755))
		self, err := os.Executable() // any program of Go's
		m.check(t, err)
		m.check(t, os.Symlink(self, program))
		c, err := agent.Dial(t.Context(), m.o.Layout.VMSocket("agent"))
		m.check(t, err)
		if err := g.upgradeAgent(t.Context(), c); (err == nil) != understood {
			t.Errorf("protocol %d: %v", protocol, err)
		}
		c.Close()
	}
}

// aged is the agent of a revision; empty is one from before agents said so.
type aged struct {
	agentpb.UnimplementedEngineServer
	revision string
}

func (a aged) Ready(_ *agentpb.ReadyRequest, stream agentpb.Engine_ReadyServer) error {
	if a.revision == "" {
		return nil
	}
	header := agent.Revision()
	for name := range header {
		header.Set(name, a.revision)
	}
	return stream.SetHeader(header)
}

// A machine that runs since before this client was installed may have an agent that means
// something else by the same words.
func TestAnAgentOfAnotherRevisionIsNotSpokenTo(t *testing.T) {
	own := strconv.Itoa(agent.Protocol)
	for revision, want := range map[string]string{
		"": "nothing", own: "nothing",
		own + "0": "the virtual machine runs since before this linnet was installed: the agent is of another version of linnet, " +
			"which this one does not understand; linnet vm restart (it stops the containers in there)",
	} {
		m := newMachine(t)
		serveAgent(t, m, func(s *grpc.Server) { agentpb.RegisterEngineServer(s, aged{revision: revision}) })
		g := NewGuest(m.o, "/nosuch/linnet")
		if got := told(g.Ready(t.Context())); got != want {
			t.Errorf("revision %q: %s", revision, got)
		}
		g.disconnect()
	}
}

// Lima gives the user another name where this one is none that Linux takes.
func TestTheShellIsThatOfTheUserInTheMachine(t *testing.T) {
	m := newMachine(t)
	g := NewGuest(m.o, "/nosuch/linnet")
	want := []string{"sudo", "-n", "-H", "-u", "ada", "--", "id"}
	if got := g.Shell([]string{"id"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	m.check(t, m.fake.Put("running", vmtest.Config(m.want.Shape, ""), 100<<30, "locked"))
	path := filepath.Join(m.o.Layout.LimaInstance(), "ssh.config")
	m.check(t, os.WriteFile(path, []byte("Host lima-default\n  User lima\n  Hostname 127.0.0.1\n  Port 60022\n"), 0o600))
	want[4] = "lima"
	if got := g.Shell([]string{"id"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Lima writes the only console of a machine of macOS to another file.
func TestTheConsoleIsWhereLimaWritesIt(t *testing.T) {
	for kind, want := range map[string]string{qemu: "serial.log", vz: "serialv.log"} {
		m := newMachine(t)
		m.want.Type = kind
		m.check(t, m.fake.Put("stopped", vmtest.Config(m.want.Shape, ""), 100<<30, "free"))
		logs := NewGuest(m.o, "/nosuch/linnet").Logs()
		if got := logs[len(logs)-1]; got.Name != "serial" || filepath.Base(got.Path) != want {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

// A relay that runs has the rules of its start: that the settings have changed is said, once by each
// command and by `vm status`.
func TestThatTheRulesOfPortsHaveChangedIsSaid(t *testing.T) {
	const changed = "vm.ports has changed since the relay was started: linnet vm restart"
	first := relay.PortRules{Max: 1000, Lowest: 1024, Widest: netip.IPv4Unspecified()}
	for _, c := range []struct {
		name          string
		started, asks relay.PortRules
		want          []string
	}{
		{"the same", first, relay.PortRules{}, nil},
		{"narrower", first, relay.PortRules{Widest: netip.MustParseAddr("127.0.0.1")}, []string{changed}},
		{"fewer", first, relay.PortRules{Max: 5}, []string{changed}},
		{"one from before", relay.PortRules{}, relay.PortRules{Max: 5}, nil},
	} {
		for name, do := range map[string]func(*Guest) error{
			"command": func(g *Guest) error { return errors.Join(g.Ready(t.Context()), g.Ready(t.Context())) },
			"status":  func(g *Guest) error { _, err := g.Status(t.Context()); return err },
		} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				m := newMachine(t)
				m.o.Ports = c.asks
				g := guestWith(t, m, relay.Status{Connected: true}, c.started)
				serveAgent(t, m, func(s *grpc.Server) { agentpb.RegisterEngineServer(s, aged{revision: strconv.Itoa(agent.Protocol)}) })
				defer g.disconnect()
				_ = do(g) // of status, the agent says nothing of itself
				if !slices.Equal(*m.warned, c.want) {
					t.Errorf("it warns %q", *m.warned)
				}
			})
		}
	}
}

func TestThatDockersSocketHasChangedIsSaid(t *testing.T) {
	for _, c := range []struct {
		started relay.Rules
		wanted  bool
		want    []string
	}{
		{relay.Rules{Docker: true}, true, nil},
		{relay.Rules{}, true, []string{"docker.socket has changed since the relay was started: linnet vm restart"}},
		{relay.Rules{Docker: true}, false, []string{"docker.socket has changed since the relay was started: linnet vm restart"}},
	} {
		m := newMachine(t)
		m.o.Docker, c.started.Max = c.wanted, 1000
		g := guestWith(t, m, relay.Status{Connected: true}, c.started)
		serveAgent(t, m, func(s *grpc.Server) { agentpb.RegisterEngineServer(s, aged{revision: strconv.Itoa(agent.Protocol)}) })
		m.check(t, g.Ready(t.Context()))
		g.disconnect()
		if !slices.Equal(*m.warned, c.want) {
			t.Errorf("%+v and %v: it warns %q", c.started, c.wanted, *m.warned)
		}
	}
}

// A container may have the socket of Docker's API, which is the machine's own there.
func TestDockersSocketIsTheMachines(t *testing.T) {
	m := newMachine(t)
	link := filepath.Join(filepath.Dir(m.o.Layout.Home), "docker-link")
	m.check(t, os.MkdirAll(m.o.Layout.Home, 0o700))
	m.check(t, os.WriteFile(m.o.Layout.DockerSocket(), nil, 0o600)) // a link leads to what is there
	m.check(t, os.Symlink(m.o.Layout.DockerSocket(), link))
	for _, on := range []bool{true, false} {
		m.o.Docker = on
		g := NewGuest(m.o, "/nosuch/linnet")
		for _, path := range []string{m.o.Layout.DockerSocket(), link} {
			at, err := g.Path(path)
			if on && (err != nil || at.Path != "/var/lib/linnet/docker.sock") || !on && err == nil {
				t.Errorf("%v: %s is %+v, %v", on, path, at, err)
			}
		}
		if slices.Contains(g.relayArgv(), "--docker") != on {
			t.Errorf("%v: the relay is started as %q", on, g.relayArgv())
		}
	}
}
