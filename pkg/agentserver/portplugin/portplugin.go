// Package portplugin is linnet-ports, the CNI plugin that has the agent publish a
// container's ports on the host of the virtual machine. It stands at the end of each
// network's list of plugins, by the conventions of the CNI specification 1.0.0.
//
// It must not know who opens the ports, nor where.
package portplugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
)

// Name is the plugin's type in a network's list, and so the name of its program.
const Name = "linnet-ports"

// How long the agent may be away: it may just be replaced.
const (
	addLimit = time.Minute
	delLimit = 20 * time.Second
)

// Error codes of the specification, section 5, "Error".
const (
	codeEnvironment = 4
	codeDecoding    = 6
	codeInvalid     = 7
	codeTryLater    = 11
	codeRefused     = 100 // the first of those that a plugin defines itself
)

var versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// netConf is what we read of the configuration on standard input.
type netConf struct {
	CNIVersion string `json:"cniVersion"`
	Name       string `json:"name"`
	// Socket is the agent's.
	Socket        string `json:"socket"`
	RuntimeConfig struct {
		PortMappings []struct {
			HostPort      uint16 `json:"hostPort"`
			ContainerPort uint16 `json:"containerPort"`
			Protocol      string `json:"protocol"`
			HostIP        string `json:"hostIP"`
		} `json:"portMappings"`
	} `json:"runtimeConfig"`
	PrevResult json.RawMessage `json:"prevResult"`
}

// failure is what the specification wants on standard output.
type failure struct {
	CNIVersion string `json:"cniVersion"`
	Code       int    `json:"code"`
	Msg        string `json:"msg"`
}

func (f *failure) Error() string { return f.Msg }

func fail(code int, format string, args ...any) error {
	return &failure{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// Main runs the plugin for the command in environ and returns its exit code.
func Main(ctx context.Context, environ []string, stdin io.Reader, stdout io.Writer) int {
	vars := map[string]string{}
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "CNI_") {
			vars[name] = value
		}
	}
	var conf netConf
	answer, err := run(ctx, vars, stdin, &conf)
	if err != nil {
		f := &failure{Code: codeTryLater, Msg: err.Error()}
		_ = errors.As(err, &f)
		f.CNIVersion = conf.CNIVersion
		if f.CNIVersion == "" {
			f.CNIVersion = "1.0.0"
		}
		_ = json.NewEncoder(stdout).Encode(f) // there is no other place to report to
		return 1
	}
	if _, err := stdout.Write(answer); err != nil {
		return 1
	}
	return 0
}

func run(ctx context.Context, vars map[string]string, stdin io.Reader, conf *netConf) ([]byte, error) {
	command := vars["CNI_COMMAND"]
	if command == "VERSION" {
		return json.Marshal(map[string]any{"cniVersion": "1.0.0", "supportedVersions": versions})
	}
	if err := json.NewDecoder(stdin).Decode(conf); err != nil {
		return nil, fail(codeDecoding, "reading the network's configuration: %v", err)
	}
	owner := vars["CNI_CONTAINERID"] + "/" + conf.Name + "/" + vars["CNI_IFNAME"]
	switch command {
	case "ADD":
		return add(ctx, owner, conf)
	case "DEL":
		release(ctx, owner, conf)
		return nil, nil
	case "CHECK", "STATUS", "GC":
		return nil, nil
	}
	return nil, fail(codeEnvironment, "CNI_COMMAND: %q is not a command", command)
}

// add claims the ports and passes on what the plugins before said.
func add(ctx context.Context, owner string, conf *netConf) ([]byte, error) {
	if len(conf.PrevResult) == 0 {
		return nil, fail(codeInvalid, "there is no result of a plugin before")
	}
	ports, err := mapped(conf)
	if err != nil || len(ports) == 0 {
		return conf.PrevResult, err
	}
	ctx, cancel := context.WithTimeout(ctx, addLimit)
	defer cancel()
	err = call(ctx, conf.Socket, func(c agentpb.PortsClient) error {
		_, err := c.Claim(ctx, &agentpb.ClaimRequest{Owner: owner, Ports: ports}, grpc.WaitForReady(true))
		return err
	})
	if s, ok := status.FromError(err); ok && s.Code() == codes.AlreadyExists {
		return nil, fail(codeRefused, "%s", s.Message())
	}
	if err != nil {
		return nil, fail(codeTryLater, "publishing ports on the host: %v", err)
	}
	return conf.PrevResult, nil
}

// release takes back whatever was claimed. It never fails: the container is gone.
func release(ctx context.Context, owner string, conf *netConf) {
	ctx, cancel := context.WithTimeout(ctx, delLimit)
	defer cancel()
	if _, err := os.Stat(filepath.Dir(conf.Socket)); err != nil {
		return // there never was an agent
	}
	_ = call(ctx, conf.Socket, func(c agentpb.PortsClient) error {
		_, err := c.Release(ctx, &agentpb.ReleaseRequest{Owner: owner}, grpc.WaitForReady(true))
		return err
	})
}

func call(ctx context.Context, socket string, do func(agentpb.PortsClient) error) error {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, MaxDelay: 500 * time.Millisecond}}))
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(agentpb.NewPortsClient(conn))
}

// mapped says what to claim: each port with the container's own address behind it.
func mapped(conf *netConf) ([]*agentpb.Port, error) {
	var ports []*agentpb.Port
	if len(conf.RuntimeConfig.PortMappings) == 0 {
		return nil, nil
	}
	v4, v6, err := addresses(conf.PrevResult)
	if err != nil {
		return nil, err
	}
	for _, m := range conf.RuntimeConfig.PortMappings {
		if m.HostPort == 0 {
			continue // published nowhere, as for the plugin portmap
		}
		target := v4
		if host, err := netip.ParseAddr(m.HostIP); !v4.IsValid() || err == nil && host.Is6() && v6.IsValid() {
			target = v6
		}
		if !target.IsValid() {
			return nil, fail(codeInvalid, "the container has no address to publish port %d of", m.ContainerPort)
		}
		protocol := strings.ToLower(m.Protocol)
		if protocol == "" {
			protocol = "tcp"
		}
		ports = append(ports, &agentpb.Port{
			Protocol: protocol, HostIp: m.HostIP, HostPort: uint32(m.HostPort),
			TargetIp: target.String(), TargetPort: uint32(m.ContainerPort),
		})
	}
	return ports, nil
}

// addresses finds the container's own in a result: the first of each family.
func addresses(result []byte) (v4, v6 netip.Addr, err error) {
	var prev struct {
		IPs []struct {
			Address   string `json:"address"`
			Interface *int   `json:"interface"`
		} `json:"ips"`
		Interfaces []struct {
			Sandbox string `json:"sandbox"`
		} `json:"interfaces"`
	}
	if err := json.Unmarshal(result, &prev); err != nil {
		return v4, v6, fail(codeDecoding, "reading the result of the plugin before: %v", err)
	}
	for _, ip := range prev.IPs {
		if i := ip.Interface; i != nil && *i >= 0 && *i < len(prev.Interfaces) && prev.Interfaces[*i].Sandbox == "" {
			continue // the bridge's own
		}
		prefix, err := netip.ParsePrefix(ip.Address)
		if err != nil {
			return v4, v6, fail(codeDecoding, "reading the result of the plugin before: %v", err)
		}
		switch addr := prefix.Addr(); {
		case addr.Is4() && !v4.IsValid():
			v4 = addr
		case addr.Is6() && !v6.IsValid():
			v6 = addr
		}
	}
	return v4, v6, nil
}
