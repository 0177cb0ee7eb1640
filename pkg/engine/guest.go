//go:build linux

package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/agentserver"
	"github.com/linnet-dev/linnet/pkg/agentserver/portproxy"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// commandsEnd is how long commands of clients have to end when the agent does: longer than
// the grace that each has.
const commandsEnd = 15 * time.Second

// answersEnd is how long what was answered has to reach the clients.
const answersEnd = 500 * time.Millisecond

// guestOptions are the arguments of `linnet-agent guest`.
type guestOptions struct {
	spec   string
	socket string
	// owner may connect to the socket besides root: UID:GID; empty means no other user.
	owner string
}

// guestMain runs the engine of a machine whose clients are elsewhere, under a service
// manager: see the unit in deps/image.
func guestMain(ctx context.Context, args []string, stderr io.Writer) int {
	var o guestOptions
	flags := flag.NewFlagSet("linnet-agent guest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.spec, "spec", "", "the `file` that says what to run")
	flags.StringVar(&o.socket, "socket", "", "the unix socket `path` for clients that are elsewhere")
	flags.StringVar(&o.owner, "owner", "", "`UID:GID` of the user that may connect there")
	if flags.Parse(args) != nil || o.spec == "" || o.socket == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, usage)
		return 2
	}
	if err := serveGuest(ctx, o, stderr); err != nil {
		fmt.Fprintln(stderr, "linnet-agent:", hint.Format(err.Error(), hint.Of(err)))
		return 1
	}
	return 0
}

// stopMain stops the engine of a guest, and so its agent: before the machine powers off,
// containers get their stop signal and their time.
func stopMain(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("linnet-agent stop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	socket := flags.String("socket", "", "the agent's unix socket `path`")
	if flags.Parse(args) != nil || *socket == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, usage)
		return 2
	}
	c, err := agent.DialInGuest(ctx, *socket)
	if errors.Is(err, agent.ErrNotRunning) {
		return 0
	}
	if err == nil {
		defer c.Close()
		err = c.Stop(ctx, &agentpb.StopRequest{}, func(*agentpb.Event) {})
	}
	if err != nil {
		fmt.Fprintln(stderr, "linnet-agent:", hint.Format(err.Error(), hint.Of(err)))
		return 1
	}
	return 0
}

func serveGuest(ctx context.Context, o guestOptions, stderr io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	spec, err := agent.ReadSpec(o.spec)
	if errors.Is(err, os.ErrNotExist) {
		err = &hint.Error{Err: err, Fix: "linnet writes it when it starts the virtual machine: linnet engine restart"}
	}
	if err != nil {
		return err
	}
	spec.GuestSocket = o.socket
	if err := makeDirs(spec.Layout); err != nil {
		return err
	}
	log, err := guestLogger(spec, stderr)
	if err != nil {
		return err
	}
	lock, err := lockAgent(ctx, spec.Layout)
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	defer runtime.KeepAlive(lock) // as in serve
	log.WithField("version", agent.Version).WithField("pid", os.Getpid()).Info("agent starts")
	leaveSession(spec.Layout, log)
	if err := host.PlainProcess(); err != nil {
		log.WithError(err).Warn("what a container may use is the service manager's to say")
	}
	again, err := (&guestServer{guestOptions: o, spec: spec, program: program, log: log}).serve(ctx)
	if err != nil || !again {
		return err
	}
	log.Info("agent ends for another one")
	return fmt.Errorf("starting the new agent: %w", host.Become(program, os.Args, os.Environ(), nil))
}

// makeDirs makes what natively the client has made before it starts an agent.
func makeDirs(l host.Layout) error {
	for _, dir := range []string{l.Run(), filepath.Dir(l.Log("agent")), filepath.Dir(l.Spec())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the engine's directories: %w", err)
		}
	}
	return nil
}

// guestLogger logs to the agent's log, as natively, and to the service manager.
func guestLogger(spec agent.Spec, stderr io.Writer) (*logrus.Logger, error) {
	file, err := os.OpenFile(spec.Layout.Log("agent"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the agent's log: %w", err)
	}
	log := newLogger(spec.LogLevel)
	log.SetOutput(io.MultiWriter(file, stderr))
	return log, nil
}

// guest is an agent whose clients are elsewhere.
type guestServer struct {
	guestOptions
	spec    agent.Spec
	program string
	log     *logrus.Logger
}

// serve serves until the engine is stopped, the agent replaced (again), or ctx ends.
func (g *guestServer) serve(ctx context.Context) (again bool, err error) {
	far, err := g.agentserver(ctx)
	if err != nil {
		return false, err
	}
	listeners, err := g.listen(ctx)
	if err != nil {
		return false, err
	}
	// Clients may come: what they ask for waits until it is there.
	if err := notifyReady(ctx, os.Getenv("NOTIFY_SOCKET")); err != nil {
		g.log.WithError(err).Warn("telling the service manager")
	}
	e := newGuestEngine(ctx, g, far)
	server := grpc.NewServer(agentserver.ServerOptions()...)
	agentpb.RegisterEngineServer(server, e)
	agentpb.RegisterPortsServer(server, agentserver.NewPorts(ctx, g.spec.Layout.Ports(), portproxy.Watch, g.log))
	far.Register(server)
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- far.Serve(ctx, l, server) }()
	}
	select {
	case <-e.stopped:
		g.log.Info("agent ends: the engine was stopped")
	case <-far.Replaced():
		again = true
	case <-ctx.Done():
		g.log.Info("agent ends; the engine runs on until the next agent adopts it")
	case err = <-served:
		err = fmt.Errorf("serving: %w", err)
	}
	g.end(context.WithoutCancel(ctx), server, far)
	e.detach()
	return again, err
}

// end ends the commands of clients, lets their answers go out, and closes everything.
func (g *guestServer) end(ctx context.Context, server *grpc.Server, far *agentserver.Server) {
	ending, cancel := context.WithTimeout(ctx, commandsEnd)
	defer cancel()
	far.Close(ending)
	// Some streams are open for as long as their clients like.
	answering, done := context.WithTimeout(ctx, answersEnd)
	defer done()
	defer context.AfterFunc(answering, server.Stop)()
	server.GracefulStop()
}

func (g *guestServer) agentserver(ctx context.Context) (*agentserver.Server, error) {
	l := g.spec.Layout
	if err := ensureVolatile(l); err != nil {
		return nil, err
	}
	docker := filepath.Join(filepath.Dir(g.socket), "docker")
	if err := os.MkdirAll(docker, 0o755); err != nil {
		return nil, fmt.Errorf("writing Docker's configuration: %w", err)
	}
	if err := host.WriteFile(filepath.Join(docker, "config.json"), []byte(agentserver.DockerConfig), 0o644); err != nil {
		return nil, err
	}
	env, sockets := guestEnv(os.Environ(), l), map[string]string{}
	for _, s := range guest.Services() {
		sockets[string(s)] = socketOf(l, s)
	}
	sockets[string(guest.Docker)] = l.DockerSocket() // the door: it starts dockerd
	return agentserver.New(ctx, agentserver.Options{
		Env: env, Dir: homeOf(env),
		Programs:       map[string]string{"nerdctl": l.Bin("nerdctl"), "linnet-agent": g.program},
		Services:       sockets,
		Stages:         l.Stages(),
		Records:        l.Commands(),
		CredentialsEnv: []string{"DOCKER_CONFIG=" + docker},
		Socket:         g.socket,
		Program:        g.program,
		Settle: func(argv []string) {
			if err := settle(l, argv); err != nil {
				g.log.WithError(err).Error("what a command has changed may not last")
			}
		},
		Log: g.log,
	})
}

// guestEnv is the environment of commands: what the daemons may inherit, pointed at this
// engine as package native points its own.
func guestEnv(environ []string, l host.Layout) []string {
	path, home := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/root"
	var env []string
	for _, pair := range host.Inherited(environ) {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "PATH":
			path = value
		case "HOME":
			home = value
		default:
			env = append(env, pair)
		}
	}
	return append(env,
		"PATH="+l.BinDir()+":"+path, "HOME="+home,
		"NERDCTL_TOML="+l.NerdctlTOML(), "BUILDKIT_HOST=unix://"+socketOf(l, guest.BuildKit),
	)
}

// homeOf is where commands run that do not say where.
func homeOf(env []string) string {
	for _, pair := range env {
		if home, ok := strings.CutPrefix(pair, "HOME="); ok {
			if st, err := os.Stat(home); err == nil && st.IsDir() {
				return home
			}
		}
	}
	return "/"
}

// listen makes the socket for clients that are elsewhere, and the one that native clients
// know.
func (g *guestServer) listen(ctx context.Context) ([]net.Listener, error) {
	uid, gid, err := parseOwner(g.owner)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(g.socket), 0o711); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", g.socket, err)
	}
	var listeners []net.Listener
	for _, path := range []string{g.spec.Layout.Socket("agent"), g.socket} {
		l, err := listen(ctx, path)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
	}
	if err := os.Chown(g.socket, uid, gid); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", g.socket, err)
	}
	return listeners, nil
}

// parseOwner reads UID:GID; without one, both are -1, which chown(2) takes for no change.
func parseOwner(text string) (uid, gid int, err error) {
	if text == "" {
		return -1, -1, nil
	}
	user, group, _ := strings.Cut(text, ":")
	uid, err = strconv.Atoi(user)
	if err == nil {
		gid, err = strconv.Atoi(group)
	}
	if err != nil || uid < 0 || gid < 0 {
		return 0, 0, fmt.Errorf("--owner: %q is not UID:GID", text)
	}
	return uid, gid, nil
}

// notifyReady tells a service manager, if there is one, that the service is ready
// (sd_notify(3)).
func notifyReady(ctx context.Context, socket string) error {
	if socket == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unixgram", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "READY=1")
	return err
}
