//go:build linux

// Package portproxy is linnet-docker-proxy, what dockerd starts in a virtual machine for each port that a container publishes, and for each
// address family. It has the agent publish the port on the machine's host, and then becomes moby's docker-proxy, which forwards within the
// machine. The claim lasts for as long as the process does.
//
// It must not know who opens the ports, nor where.
package portproxy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/host"
)

const (
	// Name is the program's name; moby's, which it becomes, is beside it.
	Name  = "linnet-docker-proxy"
	moby  = "docker-proxy"
	owner = "dockerd-"
	// SocketVariable names the agent's socket in dockerd's environment.
	SocketVariable = "LINNET_PORTS"
	// report is the descriptor that dockerd waits on: "0\n", or "1\n" and a message (portmapper/proxy_linux.go of moby's libnetwork).
	report = 3
	// claimLimit is how long the agent may be away: dockerd waits for 16 s.
	claimLimit = 12 * time.Second
)

// Main claims the port of a command line and becomes moby's program. It returns an exit code when it could not, and has told dockerd why. No
// signal may be caught: dockerd waits for the end that it asks for by one.
func Main(ctx context.Context, argv, environ []string) int {
	err := claim(ctx, argv[1:], environ)
	if err == nil {
		program := filepath.Join(filepath.Dir(argv[0]), moby)
		err = fmt.Errorf("becoming %s: %w", program, host.Become(program, append([]string{program}, argv[1:]...), environ, nil))
	}
	if told := os.NewFile(report, "report"); told != nil {
		_, _ = io.WriteString(told, "1\n"+err.Error()) // dockerd may be gone
		_ = told.Close()
	}
	return 1
}

func claim(ctx context.Context, args, environ []string) error {
	port, err := parse(args)
	if err != nil {
		return err
	}
	socket := ""
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, SocketVariable+"="); ok {
			socket = value
		}
	}
	if socket == "" {
		return errors.New("publishing ports on the host: " + SocketVariable + " is not set")
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, MaxDelay: 500 * time.Millisecond}}))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	request := &agentpb.ClaimRequest{Owner: owner + host.ProcessName(os.Getpid()), Ports: []*agentpb.Port{port}}
	_, err = agentpb.NewPortsClient(conn).Claim(ctx, request, grpc.WaitForReady(true))
	if s, ok := status.FromError(err); ok && s.Code() == codes.AlreadyExists {
		return errors.New(s.Message())
	}
	if err != nil {
		return fmt.Errorf("publishing ports on the host: %w", err)
	}
	return nil
}

// parse reads a command line of moby's docker-proxy.
func parse(args []string) (*agentpb.Port, error) {
	var port agentpb.Port
	var at, target netip.Addr
	var from, to uint
	flags := flag.NewFlagSet(Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&port.Protocol, "proto", "tcp", "")
	flags.TextVar(&at, "host-ip", netip.IPv4Unspecified(), "")
	flags.UintVar(&from, "host-port", 0, "")
	flags.TextVar(&target, "container-ip", netip.Addr{}, "")
	flags.UintVar(&to, "container-port", 0, "")
	flags.Bool("use-listen-fd", false, "")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	if from == 0 || from > 65535 || to == 0 || to > 65535 || !target.IsValid() || flags.NArg() > 0 {
		return nil, fmt.Errorf("%s: %q is no port to publish", Name, args)
	}
	port.HostIp, port.TargetIp = at.Unmap().String(), target.Unmap().String()
	port.HostPort, port.TargetPort = uint32(from), uint32(to)
	return &port, nil
}

// Watch finds the process of an owner that is one: it is an agentserver.Watch.
func Watch(ctx context.Context, name string) <-chan struct{} {
	process, ok := strings.CutPrefix(name, owner)
	if !ok {
		return nil
	}
	digits, _, _ := strings.Cut(process, "-")
	pid, err := strconv.Atoi(digits)
	p, held := host.Process{}, false
	if err == nil {
		p, held = host.HoldProcess(pid, func(pid int) bool { return host.ProcessName(pid) == process })
	}
	if !held {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	return p.Ended(ctx)
}
