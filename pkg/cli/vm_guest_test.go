package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima"
	"github.com/linnet-dev/linnet/pkg/lima/limatest"
	"github.com/linnet-dev/linnet/pkg/relay/relaytest"
)

// startGuest is the script command guest: from now on a machine that the fake limactl has started
// has an sshd and an agent, which are in this process. Its programs are in $WORK/guest. `guest
// left` waits until the relay has noticed that the machine is gone.
func startGuest(ts *testscript.TestScript, _ bool, args []string) {
	t, ok := ts.Value(testOf{}).(testing.TB)
	if !ok {
		ts.Fatalf("there is no test")
	}
	l := host.Layout{Home: ts.Getenv("LINNET_HOME"), Libexec: ts.Getenv("LINNET_LIBEXEC")}
	if len(args) > 0 {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		// The test may be root's, who trusts no socket of the user's.
		for {
			c, err := net.Dial("unix", l.VMSocket("agent"))
			if err != nil {
				return
			}
			ts.Check(c.Close())
			<-tick.C
		}
	}
	keys := filepath.Dir(l.LimaKey())
	ts.Check(os.MkdirAll(keys, 0o700))
	sshd := relaytest.NewSSHD(t, keys)
	sshd.TakeHostKey(func() (ssh.Signer, error) { return hostKeyOf(l) })
	ts.Check(own(l.LimaHome()))

	dir := ts.MkAbs("guest")
	ts.Check(os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	ts.Check(copyFile(ts.MkAbs("../bin/nerdctl"), filepath.Join(dir, "bin", "nerdctl")))
	sshd.Sockets = map[string]string{lima.AgentSocket: serveGuest(ts, t, dir)}

	_, port, err := net.SplitHostPort(sshd.Addr)
	ts.Check(err)
	fake := limatest.Fake{Layout: l}
	ts.Check(fake.Leave("ssh.config", "Host lima-default\n  User ada\n  Hostname 127.0.0.1\n  Port "+port+"\n"))
	ts.Check(fake.Leave("serial.log", lima.UpMark+"\n"))
}

// hostKeyOf is the key that a machine was given for this start, as Lima hands it on.
func hostKeyOf(l host.Layout) (ssh.Signer, error) {
	text, err := os.ReadFile(filepath.Join(l.LimaInstance(), "lima.yaml"))
	if err != nil {
		return nil, err
	}
	var config struct {
		Provision []struct{ Path, Content string }
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	for _, p := range config.Provision {
		if p.Path == lima.GuestHostKey {
			return ssh.ParsePrivateKey([]byte(p.Content))
		}
	}
	return nil, errors.New("the machine has no host key")
}

// serveGuest serves the real far side, with an engine that does nothing, until the test ends.
func serveGuest(ts *testscript.TestScript, t testing.TB, dir string) (socket string) {
	socket = filepath.Join(dir, "agent.sock")
	log := logrus.New()
	log.SetOutput(t.Output())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	server, err := agentserver.New(ctx, agentserver.Options{
		Env: []string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin", "HOME=/root", "GORACE=atexit_sleep_ms=0"}, Dir: dir,
		Stages: filepath.Join(dir, "stages"), Records: filepath.Join(dir, "commands"), Socket: socket, Log: log,
	})
	ts.Check(err)
	g := grpc.NewServer(agentserver.ServerOptions()...)
	server.Register(g)
	agentpb.RegisterPortsServer(g, agentserver.NewPorts(ctx, filepath.Join(dir, "ports"), nil, log))
	agentpb.RegisterEngineServer(g, idleEngine{})
	listener, err := net.Listen("unix", socket)
	ts.Check(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, g) }()
	ts.Defer(func() {
		server.Close(ctx)
		g.Stop()
		listener.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		cancel()
	})
	return socket
}

// idleEngine is an engine that is always ready.
type idleEngine struct {
	agentpb.UnimplementedEngineServer
}

func (idleEngine) Info(context.Context, *agentpb.InfoRequest) (*agentpb.InfoReply, error) {
	since := time.Now().Add(-time.Minute).UnixNano()
	return &agentpb.InfoReply{
		Version: "v1.2.3", Pid: 300, StartedUnixNano: since, Bridge: "ln0", Subnet: "10.231.0.0/16", Protocol: agent.Protocol,
		Daemons: []*agentpb.Daemon{
			{Name: "containerd", State: "running", Pid: 301, Socket: "/run/c.sock", StartedUnixNano: since},
			{Name: "buildkitd", State: "waiting", Pid: 0, Socket: "/run/b.sock", Restarts: 2, LastError: "exit status 1"},
		},
	}, nil
}

func (idleEngine) Ready(*agentpb.ReadyRequest, grpc.ServerStreamingServer[agentpb.Event]) error {
	return nil
}

func (idleEngine) Stop(_ *agentpb.StopRequest, s grpc.ServerStreamingServer[agentpb.Event]) error {
	return errors.Join(
		s.Send(&agentpb.Event{Kind: agentpb.Event_KIND_STEP, Text: "stopping 2 containers"}),
		s.Send(&agentpb.Event{Kind: agentpb.Event_KIND_DONE}),
	)
}
