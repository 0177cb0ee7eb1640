// Package native is the Guest on this very Linux host: an engine of linnet's own, started
// when first needed, beside whatever docker or containerd the host has.
//
// It must not know which command runs, nor how the agent runs the daemons; it starts the
// agent, waits for it, and points processes at its engine.
package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/report"
)

// Options are what a Native needs.
type Options struct {
	Layout host.Layout
	// Program is the path of the running program; the agent is looked for beside it.
	Program string
	// Environ is the environment of this process, as os.Environ gives it.
	Environ []string
	// Spec is what the engine is started with. It is asked for only when it has to be
	// started.
	Spec func() (agent.Spec, error)
	// Report is told of the steps of a start.
	Report *report.Reporter
}

// Native is the engine on this host. It implements guest.Guest.
type Native struct{ o Options }

// New makes a Native; nothing is started.
func New(o Options) *Native { return &Native{o} }

// Ready starts the engine if it does not run and waits until containers can be run. When it
// does run, it costs two connections.
func (n *Native) Ready(ctx context.Context) error {
	return n.ready(ctx, guest.Containerd.Daemon())
}

// ready starts the engine if it does not run and waits until the daemons of those names answer.
func (n *Native) ready(ctx context.Context, names ...string) error {
	listens := func(name string) bool { return host.Listens(n.o.Layout.Socket(name)) }
	if listens("agent") && !slices.ContainsFunc(names, func(name string) bool { return !listens(name) }) {
		return nil
	}
	for tries := 1; ; tries++ {
		err := n.await(ctx, names)
		if !errors.Is(err, agent.ErrStopping) || tries == mostTries {
			return err
		}
		// The command that stops it means what runs now; this command wants an engine all the same.
		if err := n.waitAgentGone(ctx); err != nil {
			return err
		}
	}
}

// mostTries bounds how often an agent may end under our hands before that is the answer.
const mostTries = 5

// await waits until the daemons answer, the engine started first if it does not run.
func (n *Native) await(ctx context.Context, names []string) error {
	c, err := n.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	steps := agent.Steps{Report: n.o.Report}
	err = c.Ready(ctx, steps.Tell, names...)
	if errors.Is(err, agent.ErrProtocol) {
		err = nil // commands go to the daemons themselves
	}
	steps.End(err)
	return err
}

// waitAgentGone waits until no agent lives: it gives its lock back when it is gone for good.
func (n *Native) waitAgentGone(ctx context.Context) error {
	lock, err := host.Lock(ctx, n.o.Layout.AgentLock())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // all of it was removed
	}
	if err != nil {
		return err
	}
	return lock.Close()
}

// Connect returns a client of the agent, started first if there is none. The engine behind
// it may not answer yet.
func (n *Native) Connect(ctx context.Context) (*agent.Client, error) {
	l := n.o.Layout
	c, err := agent.Dial(ctx, l.Socket("agent"))
	if !errors.Is(err, agent.ErrNotRunning) {
		return c, err
	}
	if problems := missing(observe(l, n.o.Program)); len(problems) > 0 {
		return nil, problems
	}
	if err := l.CheckPrograms(n.o.Program); err != nil {
		return nil, err
	}
	lock, err := n.lockStart(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	// The command that had the lock before us has started it.
	c, err = agent.Dial(ctx, l.Socket("agent"))
	if !errors.Is(err, agent.ErrNotRunning) {
		return c, err
	}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	return agent.Dial(ctx, l.Socket("agent"))
}

// Running reports whether an agent answers; it starts nothing.
func (n *Native) Running(ctx context.Context) bool {
	c, err := n.running(ctx)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// running returns a client of the agent, or agent.ErrNotRunning.
func (n *Native) running(ctx context.Context) (*agent.Client, error) {
	return agent.Dial(ctx, n.o.Layout.Socket("agent"))
}

// Run executes p as a child of this process.
func (n *Native) Run(ctx context.Context, p guest.Process) error {
	cmd := host.Command{
		Argv: n.argv(p.Argv), Env: n.env(p.Env), Variables: p.Variables, Dir: p.Dir,
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
		Signals: p.Signals, OnCancel: n.argv(p.OnCancel),
	}
	if p.TTY != nil {
		cmd.Terminal = &host.Terminal{
			Term: p.TTY.Term, Size: p.TTY.Size, Resize: p.TTY.Resize,
		}
	}
	code, err := host.Run(ctx, cmd)
	if err != nil {
		return err
	}
	if code != 0 {
		return &guest.ExitError{Code: code}
	}
	return nil
}

// replace becomes p: terminal, job control, signals and exit code are then p's own. A process
// that makes the terminal raw is attended instead, so that the terminal is put right even
// when it is killed; to everybody else that looks the same.
func (n *Native) replace(p guest.Process) error {
	if p.Dir != "" {
		if err := os.Chdir(p.Dir); err != nil {
			return fmt.Errorf("changing the working directory: %w", err)
		}
	}
	argv, env := n.argv(p.Argv), n.env(p.Env)
	program, err := lookPath(argv[0], env)
	if err != nil {
		return err
	}
	if p.TTY != nil {
		err = host.Attend(program, argv, env, p.Variables)
	} else {
		err = host.Become(program, argv, env, p.Variables)
	}
	return &os.PathError{Op: "running", Path: program, Err: err}
}

// Path says that everything on this host is visible: the engine runs here.
func (n *Native) Path(path string) (guest.Visible, error) {
	if !filepath.IsAbs(path) {
		return guest.Visible{}, &guest.NotVisibleError{Host: path, Reason: "the path is not absolute"}
	}
	resolved, there, err := host.Resolve(path)
	if err != nil {
		return guest.Visible{}, &guest.NotVisibleError{Host: path, Reason: hint.PathCause(err).Error(), Fix: "check the spelling of the path"}
	}
	return guest.Visible{Path: resolved, ReadOnly: readOnly(there)}, nil
}

// Capabilities say that commands are processes of this host.
func (n *Native) Capabilities() guest.Capabilities { return guest.Capabilities{Replace: n.replace} }

// Dial connects to a daemon of the engine.
func (n *Native) Dial(ctx context.Context, s guest.Service) (net.Conn, error) {
	name := s.Daemon()
	if name == "" {
		return nil, fmt.Errorf("connecting to %s: the engine has no such service", s)
	}
	if err := n.ready(ctx, name); err != nil {
		return nil, err
	}
	conn, err := host.DialUnix(ctx, n.o.Layout.Socket(name))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", s, err)
	}
	return conn, nil
}

// argv resolves the name nerdctl to the pinned program and linnet-agent to the agent's; any other name stays.
func (n *Native) argv(words []string) []string {
	argv := append([]string(nil), words...)
	if len(argv) == 0 {
		return nil
	}
	switch argv[0] {
	case "nerdctl":
		argv[0] = n.o.Layout.Bin("nerdctl")
	case "linnet-agent":
		argv[0] = n.o.Layout.Agent(n.o.Program)
	}
	return argv
}

// engineNames are variables that would point nerdctl or buildctl at another engine than
// ours; they are taken out of the environment of what we run.
var engineNames = map[string]bool{
	"CONTAINERD_ADDRESS": true, "CONTAINERD_NAMESPACE": true, "CONTAINERD_SNAPSHOTTER": true,
	"CNI_PATH": true, "NETCONFPATH": true, "NERDCTL_TOML": true, "BUILDKIT_HOST": true,
	"NERDCTL_BRIDGE_IP": true, "ROOTLESSKIT_STATE_DIR": true,
}

// env is the environment of a process here: this process's own, pointed at our engine,
// then what the process asks for.
func (n *Native) env(add []string) []string {
	l := n.o.Layout
	own := map[string]bool{"PATH": true}
	for _, pair := range add {
		name, _, _ := strings.Cut(pair, "=")
		own[name] = true
	}
	env := make([]string, 0, len(n.o.Environ)+len(add)+3)
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, pair := range n.o.Environ {
		name, value, _ := strings.Cut(pair, "=")
		if name == "PATH" {
			path = value
		}
		if !own[name] && !engineNames[name] {
			env = append(env, pair)
		}
	}
	env = append(env,
		"NERDCTL_TOML="+l.NerdctlTOML(),
		"BUILDKIT_HOST=unix://"+l.Socket(guest.BuildKit.Daemon()),
		"PATH="+l.BinDir()+":"+path+":/usr/sbin:/sbin",
	)
	for _, pair := range add {
		if strings.Contains(pair, "=") {
			env = append(env, pair)
		}
	}
	return env
}

// lookPath finds a program as execvp does, in the PATH of env.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for i := len(env) - 1; i >= 0; i-- {
		list, ok := strings.CutPrefix(env[i], "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return file, nil
			}
		}
		break
	}
	return "", &os.PathError{Op: "running", Path: name, Err: fs.ErrNotExist}
}
