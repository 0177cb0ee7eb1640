//go:build linux

package portproxy_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver/portproxy"
	"github.com/linnet-dev/linnet/pkg/host"
)

// TestMain makes this program the proxy, and the one that it becomes, when it goes by their names.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case portproxy.Name:
		os.Exit(portproxy.Main(context.Background(), os.Args, os.Environ()))
	case "docker-proxy":
		os.Exit(forward())
	}
	os.Exit(m.Run())
}

// forward stands for moby's program: it has the socket on descriptor 4, says so and runs until it is told to end.
func forward() int {
	listener, err := net.FileListener(os.NewFile(4, "socket"))
	if err != nil {
		return 3
	}
	report := os.NewFile(3, "report")
	_, _ = io.WriteString(report, "0\n")
	_ = report.Close()
	_ = json.NewEncoder(os.Stdout).Encode([]any{os.Args, listener.Addr().String()})
	_, _ = listener.Accept()
	return 0
}

type fakePorts struct {
	agentpb.UnimplementedPortsServer
	claim  func(ctx context.Context) error
	claims chan *agentpb.ClaimRequest
}

func (f *fakePorts) Claim(ctx context.Context, req *agentpb.ClaimRequest) (*agentpb.ClaimReply, error) {
	f.claims <- req
	return &agentpb.ClaimReply{}, f.claim(ctx)
}

// proxy is one that a test has started as dockerd does.
type proxy struct {
	*exec.Cmd
	args   []string
	port   int
	report *os.File
	out    io.Reader
	claims chan *agentpb.ClaimRequest
	dir    string
}

func start(t *testing.T, claim func(ctx context.Context) error) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fakePorts{claim: claim, claims: make(chan *agentpb.ClaimRequest, 1)}
	socket := filepath.Join(dir, "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	agentpb.RegisterPortsServer(g, f)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{portproxy.Name, "docker-proxy"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	bound, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	file, err := bound.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	t.Cleanup(func() { reader.Close() })
	p := &proxy{report: reader, claims: f.claims, dir: dir, port: bound.Addr().(*net.TCPAddr).Port}
	p.args = []string{"-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", "8080", "-container-ip", "10.5.0.2", "-container-port", "80", "-use-listen-fd"}
	p.Cmd = exec.Command(filepath.Join(dir, portproxy.Name), p.args...)
	p.Env = append(os.Environ(), portproxy.SocketVariable+"="+socket)
	p.ExtraFiles = []*os.File{writer, file}
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	p.Stderr = t.Output()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	if err := reader.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *proxy) says(t *testing.T) string {
	t.Helper()
	text, err := io.ReadAll(p.report)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func granted(context.Context) error { return nil }

func TestItClaimsThePortAndBecomesMobysProxy(t *testing.T) {
	p := start(t, granted)
	if text := p.says(t); text != "0\n" {
		t.Fatalf("dockerd reads %q", text)
	}
	claim := <-p.claims
	if len(claim.GetPorts()) != 1 {
		t.Fatalf("claimed %v", claim)
	}
	port := claim.GetPorts()[0]
	if port.GetProtocol() != "tcp" || port.GetHostIp() != "127.0.0.1" || port.GetHostPort() != 8080 || port.GetTargetIp() != "10.5.0.2" || port.GetTargetPort() != 80 {
		t.Errorf("claimed %v", port)
	}
	if want := "dockerd-" + host.ProcessName(p.Process.Pid); claim.GetOwner() != want {
		t.Errorf("its owner is %q, want %q", claim.GetOwner(), want)
	}
	var got struct {
		args   []string
		socket string
	}
	if err := json.NewDecoder(p.out).Decode(&[]any{&got.args, &got.socket}); err != nil {
		t.Fatal(err)
	}
	if want := append([]string{filepath.Join(p.dir, "docker-proxy")}, p.args...); !slices.Equal(got.args, want) {
		t.Errorf("it became %q, want %q", got.args, want)
	}
	if _, port, _ := net.SplitHostPort(got.socket); port == "" || !strings.HasSuffix(got.socket, port) {
		t.Errorf("it listens at %q", got.socket)
	}
}

func TestARefusalReachesDockerdInItsWords(t *testing.T) {
	const reason = "bind for 127.0.0.1:8080 failed: port is already allocated"
	p := start(t, func(context.Context) error { return status.Error(codes.AlreadyExists, reason) })
	if text := p.says(t); text != "1\n"+reason {
		t.Errorf("dockerd reads %q", text)
	}
	if err := p.Wait(); err == nil {
		t.Error("it ends with success")
	}
}

func TestWithoutMobysProxyDockerdIsTold(t *testing.T) {
	p := start(t, func(context.Context) error { return nil })
	_ = os.Remove(filepath.Join(p.dir, "docker-proxy"))
	text := p.says(t)
	if text != "0\n" && !strings.HasPrefix(text, "1\nbecoming "+filepath.Join(p.dir, "docker-proxy")+": ") { // it may have been fast
		t.Errorf("dockerd reads %q", text)
	}
}

// dockerd waits for the end that it asks for, whenever that is.
func TestItEndsBySignalsWhileItClaimsAndAfter(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		claiming := start(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		<-claiming.claims
		after := start(t, granted)
		after.says(t)
		owner := (<-after.claims).GetOwner()
		ended := portproxy.Watch(t.Context(), owner)
		for _, p := range []*proxy{claiming, after} {
			if err := p.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			_ = p.Wait()
		}
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Errorf("%v: the end is not noticed", signal)
		}
	}
}

func TestWhoIsAProcess(t *testing.T) {
	if ended := portproxy.Watch(t.Context(), "0123456789abcdef/bridge/eth0"); ended != nil {
		t.Error("a container is taken for one")
	}
	self := host.ProcessName(os.Getpid())
	for _, gone := range []string{"dockerd-", "dockerd-x-1", "dockerd-" + self + "1", "dockerd-0-", "dockerd-999999999-5"} {
		select {
		case <-portproxy.Watch(t.Context(), gone):
		default:
			t.Errorf("%q is taken for one that lives", gone)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := portproxy.Watch(ctx, "dockerd-"+self)
	select {
	case <-ended:
		t.Error("this one has ended")
	default:
	}
	cancel()
	<-ended
}
