//go:build linux

package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/agent/agentpb"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// ReadyFD is the descriptor on which an agent started by a client says "ok" once it
// listens, or why it could not.
const ReadyFD = 3

const usage = `usage: linnet-agent start|serve|clean --spec FILE
       linnet-agent mounts --home DIR
       linnet-agent guest --spec FILE --socket PATH [--owner UID:GID]
       linnet-agent stop --socket PATH
       linnet-agent version`

// Main is linnet-agent: `serve` runs an engine until it is stopped, `start` starts that in the
// background, `clean` removes all that one keeps, `mounts` reports whether that would leave something,
// and changes nothing, `guest` runs one for clients elsewhere, `stop`
// stops that, `version` prints the version. It returns an exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "version" || args[0] == "--version") {
		fmt.Fprintln(stdout, agent.Version)
		return 0
	}
	if len(args) > 0 && args[0] == "guest" {
		return guestMain(ctx, args[1:], stderr)
	}
	if len(args) > 0 && args[0] == "stop" {
		return stopMain(ctx, args[1:], stderr)
	}
	if len(args) > 0 && args[0] == "mounts" {
		return mountsMain(args[1:], stdout, stderr)
	}
	flags := flag.NewFlagSet("linnet-agent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	spec := flags.String("spec", "", "the `file` that says what to run")
	if len(args) == 0 || flags.Parse(args[1:]) != nil || *spec == "" {
		fmt.Fprintln(stderr, usage)
		return 2
	}
	switch args[0] {
	case "start":
		return startMain(*spec, stderr)
	case "serve":
		return serveMain(ctx, *spec, stderr)
	case "clean":
		return cleanMain(ctx, *spec, stdout)
	}
	fmt.Fprintln(stderr, usage)
	return 2
}

// startMain starts `serve` and ends at once: the agent is then an orphan, a child of init, so that no
// program that the client turns into ever sees it end. Nothing that the first caller's shell has set
// goes on to the agent: it would have effect for as long as the engine lives, on everybody's containers.
func startMain(specFile string, stderr io.Writer) int {
	program, err := os.Executable()
	if err == nil {
		err = keepDescriptorsBack()
	}
	if err == nil {
		var spec agent.Spec
		if spec, err = agent.ReadSpec(specFile); err == nil {
			if err := host.PlainProcess(); err != nil {
				fmt.Fprintln(stderr, "linnet-agent: some of what the caller's shell has set stays with the engine:", strings.ReplaceAll(err.Error(), "\n", "; "))
			}
			host.PlainSignals()
			_, err = host.Daemon{
				Argv: []string{program, "serve", "--spec", specFile}, Env: daemonEnv(os.Environ(), spec.Layout), Dir: "/",
				Log: spec.Layout.Log("agent"), ExtraFiles: []*os.File{os.NewFile(ReadyFD, "ready")}, Plain: true,
			}.Start()
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "linnet-agent:", err)
		return 1
	}
	return 0
}

// keepDescriptorsBack lets nothing pass to the engine that the first command happened to
// have open: a lock or a pipe of the user's would stay taken for as long as the engine lives.
func keepDescriptorsBack() error {
	if err := unix.CloseRange(ReadyFD+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("keeping open files back: %w", err)
	}
	return nil
}

// cleanMain says on stdout what went wrong, for the client to tell: stderr has the warnings.
func cleanMain(ctx context.Context, specFile string, stdout io.Writer) int {
	spec, err := agent.ReadSpec(specFile)
	if err == nil {
		err = clean(ctx, spec, daemonEnv(os.Environ(), spec.Layout), newLogger("warn"))
	}
	return tell(stdout, err)
}

// mountsMain fails, as cleanMain does, when something that is not the engine's own is mounted where
// cleanMain removes. An engine may run, and none need ever have: no specification is read.
func mountsMain(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("linnet-agent mounts", flag.ContinueOnError)
	flags.SetOutput(stderr)
	home := flags.String("home", "", "LINNET_HOME by its real `path`")
	if flags.Parse(args) != nil || flags.NArg() > 0 || !filepath.IsAbs(*home) {
		fmt.Fprintln(stderr, usage)
		return 2
	}
	return tell(stdout, checkRemoval(host.Layout{Home: filepath.Clean(*home)}))
}

func tell(stdout io.Writer, err error) (code int) {
	if err == nil {
		return 0
	}
	fmt.Fprint(stdout, hint.Format(err.Error(), hint.Of(err)))
	return 1
}

func serveMain(ctx context.Context, specFile string, stderr io.Writer) int {
	unix.CloseOnExec(ReadyFD) // a daemon that had it would keep the client waiting
	ready := os.NewFile(ReadyFD, "ready")
	if err := serve(ctx, specFile, func() { answer(ready, "ok") }); err != nil {
		text := hint.Format(err.Error(), hint.Of(err))
		answer(ready, text)
		fmt.Fprintln(stderr, "linnet-agent:", text)
		return 1
	}
	return 0
}

func answer(ready *os.File, text string) {
	if ready != nil {
		_, _ = io.WriteString(ready, text) // the client may be gone, or there never was one
		ready.Close()
	}
}

func serve(ctx context.Context, specFile string, listening func()) error {
	spec, err := agent.ReadSpec(specFile)
	if err != nil {
		return err
	}
	log := newLogger(spec.LogLevel)
	lock, err := lockAgent(ctx, spec.Layout)
	if errors.Is(err, errServed) {
		listening()
		return nil
	}
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	// The process that gets the lock next may rely on this process being gone: nothing but its end
	// gives it back.
	defer runtime.KeepAlive(lock)
	log.WithField("version", agent.Version).WithField("pid", os.Getpid()).Info("agent starts")
	leaveSession(spec.Layout, log)

	listener, err := listen(ctx, spec.Layout.Socket("agent"))
	if err != nil {
		return err
	}
	defer listener.Close()
	e, err := New(ctx, spec, daemonEnv(os.Environ(), spec.Layout), log)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	agentpb.RegisterEngineServer(server, e)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	listening()
	select {
	case <-e.Stopped():
		server.GracefulStop()
		log.Info("agent ends: the engine was stopped")
		return nil
	case <-ctx.Done():
		e.Detach()
		server.Stop()
		log.Info("agent ends; the engine runs on until the next agent adopts it")
		return nil
	case err := <-served:
		e.Detach()
		return fmt.Errorf("serving: %w", err)
	}
}

var errServed = errors.New("another agent serves already")

// lockAgent takes the lock of the one agent. The agent that has it is either ending, and soon gone,
// or was started by a client that was interrupted, and soon listens: errServed.
func lockAgent(ctx context.Context, l host.Layout) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := host.TryLock(l.AgentLock())
		if !errors.Is(err, host.ErrLocked) {
			return lock, err
		}
		if host.Listens(l.Socket("agent")) {
			return nil, errServed
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("another agent neither answers nor ends")
		case <-tick.C:
		}
	}
}

// listen makes the agent's socket, readable by its owner alone. The lock is held: what lies
// there is stale.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing a stale socket: %w", err)
	}
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return listener, nil
}

func newLogger(level string) *logrus.Logger {
	log := logrus.New()
	log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	if l, err := logrus.ParseLevel(level); err == nil {
		log.SetLevel(l)
	}
	return log
}

// daemonEnv is the environment of the agent and the daemons: what they need and nothing of the user's
// own, whose values no other process needs to know. PATH is fixed, our programs first. containerd's shims write the process of
// an exec, environment included, to a file for runc, which is on disk in /tmp unless
// XDG_RUNTIME_DIR says where memory is.
func daemonEnv(environ []string, l host.Layout) []string {
	env := slices.DeleteFunc(host.Inherited(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.EqualFold(name, "PATH")
	})
	return append(env, "PATH="+l.BinDir()+":"+host.SystemPath, "XDG_RUNTIME_DIR="+l.Volatile())
}

// leaveSession moves this process, and so everything it starts, out of the control group of
// the login session that it was started from: logind may kill what is left in there.
func leaveSession(l host.Layout, log logrus.FieldLogger) {
	for _, group := range cgroups(l) {
		err := os.Mkdir(group, 0o755)
		if err == nil || errors.Is(err, os.ErrExist) {
			err = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0o644)
		}
		if err != nil {
			log.WithError(err).Warn("staying in the session's control group")
		}
	}
}
