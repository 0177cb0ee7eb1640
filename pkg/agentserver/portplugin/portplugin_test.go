package portplugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver/portplugin"
)

// TestMain makes this program the plugin when it goes by its name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == portplugin.Name {
		os.Exit(portplugin.Main(context.Background(), os.Environ(), os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// fakePorts is an agent that writes down what it is asked.
type fakePorts struct {
	agentpb.UnimplementedPortsServer
	refuse   error
	claims   chan *agentpb.ClaimRequest
	releases chan *agentpb.ReleaseRequest
}

func (f *fakePorts) Claim(_ context.Context, req *agentpb.ClaimRequest) (*agentpb.ClaimReply, error) {
	f.claims <- req
	return &agentpb.ClaimReply{}, f.refuse
}

func (f *fakePorts) Release(_ context.Context, req *agentpb.ReleaseRequest) (*agentpb.ReleaseReply, error) {
	f.releases <- req
	return &agentpb.ReleaseReply{}, f.refuse
}

func serve(t *testing.T, refuse error) (socket string, f *fakePorts) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ln-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "agent.sock")
	f = &fakePorts{refuse: refuse, claims: make(chan *agentpb.ClaimRequest, 1), releases: make(chan *agentpb.ReleaseRequest, 1)}
	listenOn(t, socket, f)
	return socket, f
}

func listenOn(t *testing.T, socket string, f *fakePorts) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	agentpb.RegisterPortsServer(g, f)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
}

const result = `{
  "cniVersion": "1.0.0",
  "interfaces": [
    {"name": "linnet-0", "mac": "00:00:00:00:00:01"},
    {"name": "veth0", "mac": "00:00:00:00:00:02"},
    {"name": "eth0", "mac": "00:00:00:00:00:03", "sandbox": "/proc/1/ns/net"}
  ],
  "ips": [
    {"address": "10.231.0.1/24", "interface": 0},
    {"address": "10.231.0.7/24", "gateway": "10.231.0.1", "interface": 2},
    {"address": "fd00::7/64", "interface": 2}
  ],
  "routes": [{"dst": "0.0.0.0/0"}],
  "dns": {}, "unknown": {"kept": [1, 2]}
}`

func conf(socket, mappings, prev string) string {
	text := `{"cniVersion": "1.0.0", "name": "bridge", "type": "linnet-ports", "socket": "` + socket + `"`
	if mappings != "" {
		text += `, "runtimeConfig": {"portMappings": ` + mappings + `}`
	}
	if prev != "" {
		text += `, "prevResult": ` + prev
	}
	return text + "}"
}

// plugin runs it as libcni would.
func plugin(t *testing.T, command, stdin string) (stdout string, code int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Args = []string{"/usr/libexec/linnet/cni/linnet-ports"}
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID=default-0123", "CNI_NETNS=/proc/1/ns/net", "CNI_IFNAME=eth0", "CNI_PATH=/x", "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil && len(exit.Stderr) > 0 {
		t.Errorf("it wrote to stderr: %s", exit.Stderr)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(got), &a), json.Unmarshal([]byte(want), &b)); err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestAddClaimsThePortsAndPassesTheResultOn(t *testing.T) {
	socket, f := serve(t, nil)
	out, code := plugin(t, "ADD", conf(socket, `[
		{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "0.0.0.0"},
		{"hostPort": 53, "containerPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"},
		{"hostPort": 81, "containerPort": 81, "hostIP": "::1"},
		{"hostPort": 0, "containerPort": 82, "protocol": "tcp"}]`, result))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	sameJSON(t, out, result)
	claim := <-f.claims
	var got []string
	for _, p := range claim.GetPorts() {
		text, err := json.Marshal([]any{p.GetProtocol(), p.GetHostIp(), p.GetHostPort(), p.GetTargetIp(), p.GetTargetPort()})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	want := []string{`["tcp","0.0.0.0",8080,"10.231.0.7",80]`, `["udp","127.0.0.1",53,"10.231.0.7",53]`, `["tcp","::1",81,"fd00::7",81]`}
	if !reflect.DeepEqual(got, want) || claim.GetOwner() != "default-0123/bridge/eth0" {
		t.Errorf("%s claimed %s", claim.GetOwner(), got)
	}
}

func TestAddOfNothingAsksNoAgent(t *testing.T) {
	for _, mappings := range []string{"", "null", "[]", `[{"hostPort": 0, "containerPort": 80}]`} {
		out, code := plugin(t, "ADD", conf("/no/such/socket", mappings, result))
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", mappings, code, out)
		}
		sameJSON(t, out, result)
	}
}

func TestATakenPortFailsAddWithTheReason(t *testing.T) {
	socket, _ := serve(t, status.Error(codes.AlreadyExists, "bind for 0.0.0.0:8080 failed: port is already allocated"))
	out, code := plugin(t, "ADD", conf(socket, `[{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]`, result))
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	sameJSON(t, out, `{"cniVersion": "1.0.0", "code": 100, "msg": "bind for 0.0.0.0:8080 failed: port is already allocated"}`)
}

func TestAddWaitsForAnAgentThatIsBeingReplaced(t *testing.T) {
	socket, f := serve(t, nil)
	late := socket + "2"
	accepted := make(chan struct{})
	// A socket that no agent answers on, then one on which an agent does.
	l, err := net.Listen("unix", late)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(accepted)
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
		l.Close()
		listenOn(t, late, f)
	}()
	out, code := plugin(t, "ADD", conf(late, `[{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]`, result))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	<-accepted
	<-f.claims
}

func TestDelReleasesAndNeverFails(t *testing.T) {
	socket, f := serve(t, nil)
	for _, c := range []string{conf(socket, `[{"hostPort": 8080, "containerPort": 80}]`, result), conf(socket, "", "")} {
		if out, code := plugin(t, "DEL", c); code != 0 || out != "" {
			t.Errorf("exit code %d: %s", code, out)
		}
		if r := <-f.releases; r.GetOwner() != "default-0123/bridge/eth0" {
			t.Errorf("released %s", r.GetOwner())
		}
	}
	refusing, _ := serve(t, status.Error(codes.Internal, "no"))
	for _, socket := range []string{refusing, "/no/such/dir/agent.sock"} {
		if out, code := plugin(t, "DEL", conf(socket, "", "")); code != 0 || out != "" {
			t.Errorf("%s: exit code %d: %s", socket, code, out)
		}
	}
}

func TestTheOtherCommands(t *testing.T) {
	out, code := plugin(t, "VERSION", "")
	if code != 0 {
		t.Errorf("VERSION: exit code %d", code)
	}
	sameJSON(t, out, `{"cniVersion": "1.0.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]}`)
	for _, command := range []string{"CHECK", "STATUS"} {
		if out, code := plugin(t, command, conf("/no/such/socket", `[{"hostPort": 1, "containerPort": 1}]`, result)); code != 0 || out != "" {
			t.Errorf("%s: exit code %d: %s", command, code, out)
		}
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	port := `[{"hostPort": 1, "containerPort": 1}]`
	for _, c := range []struct{ command, stdin, want string }{
		{"ADD", "", `{"cniVersion": "1.0.0", "code": 6, "msg": "reading the network's configuration: EOF"}`},
		{"DEL", "{", `{"cniVersion": "1.0.0", "code": 6, "msg": "reading the network's configuration: unexpected EOF"}`},
		{"ADD", conf("/s", port, ""), `{"cniVersion": "1.0.0", "code": 7, "msg": "there is no result of a plugin before"}`},
		{"ADD", conf("/s", port, `{"ips": []}`), `{"cniVersion": "1.0.0", "code": 7, "msg": "the container has no address to publish port 1 of"}`},
		{"ADD", conf("/s", port, `{"ips": [{"address": "x"}]}`), `{"cniVersion": "1.0.0", "code": 6, "msg": "reading the result of the plugin before: netip.ParsePrefix(\"x\"): no '/'"}`},
		{"", conf("/s", "", ""), `{"cniVersion": "1.0.0", "code": 4, "msg": "CNI_COMMAND: \"\" is not a command"}`},
	} {
		out, code := plugin(t, c.command, c.stdin)
		if code != 1 {
			t.Errorf("%s %s: exit code %d", c.command, c.stdin, code)
		}
		sameJSON(t, out, c.want)
	}
}
