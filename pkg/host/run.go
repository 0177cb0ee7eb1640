package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The codes that a shell shows for a program that could not be run.
const (
	CodeNotExecutable = 126
	CodeNotFound      = 127
)

const (
	defaultGrace = 10 * time.Second
	// SystemPath is where a system's own programs are.
	SystemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Command is a process to run on this machine.
type Command struct {
	// Argv is the program and its arguments; a program without a slash is looked up in
	// the PATH of Env, never in our own.
	Argv []string
	// Env is the whole environment, a list of NAME=value; nothing of ours is added.
	Env []string
	// Variables are those of a container that the process makes: see EnvVariables.
	Variables []string
	// Dir is the working directory; empty means ours.
	Dir string

	// Stdin is read until its end or the process's, whichever is first; nil is empty.
	// A Read that is blocked when the process ends is left behind, not waited for.
	Stdin io.Reader
	// Stdout and Stderr take what the process writes; nil discards it. When both are
	// the same writer, the process gets one pipe for both, so that order is kept.
	Stdout io.Writer
	Stderr io.Writer

	// Terminal, when set, gives the process a controlling terminal: Stdout carries
	// everything and Stderr nothing. A nil Stdin then means that no input comes.
	Terminal *Terminal
	// Signals are passed on as they arrive: to the process, or to its process group
	// when it has a terminal.
	Signals <-chan os.Signal
	// Grace is how long a cancelled process has between SIGTERM and SIGKILL; 0 means 10 s.
	Grace time.Duration
	// Started, when set, is called once with the process's id, before anything is
	// written to its standard input.
	Started func(pid int)
	// OnCancel is a command, run with the same Env and Dir once ctx has ended the process:
	// it removes what the process would have removed itself. Its end is not reported.
	OnCancel []string
}

// Terminal describes the terminal that a Command is given.
type Terminal struct {
	// Term is the value of TERM; empty means "xterm".
	Term string
	// Size is the size at the start, and Resize delivers every later one; nil means never.
	Size   Size
	Resize <-chan Size
}

// Size is a terminal's size in character cells.
type Size = struct{ Rows, Cols uint16 }

// Run starts c in a session and process group of its own and returns when it has ended, with the exit
// code as a shell shows it: 0 to 255, 128+N after signal N. Everything that the process
// wrote until then has been delivered; what it left running in the background is not waited for.
//
// err is nil whenever a process ran to its end and its streams were carried over whole,
// whatever the code. A program that is not found is code 127 with an error that is
// fs.ErrNotExist, one that cannot be executed 126 with an error.
//
// When ctx ends, the process group is sent SIGTERM and, after the grace, SIGKILL; Run
// returns once nothing of the group is left, with the code and ctx.Err(). The code is -1
// when no process was started for another reason, or its end is unknown.
func Run(ctx context.Context, c Command) (code int, err error) {
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	if len(c.Argv) == 0 {
		return -1, errors.New("starting a process: no program given")
	}
	path, err := lookUp(c)
	if err != nil {
		return startFailure(c, err)
	}
	r := &process{Command: c, cmd: &exec.Cmd{Path: path, Args: c.Argv, Env: append([]string{}, c.Env...), Dir: c.Dir}}
	if c.Terminal != nil {
		err = r.openTerminal()
	} else {
		err = r.openPipes()
	}
	if err == nil && len(c.Variables) > 0 {
		err = r.openVariables()
	}
	if err == nil {
		err = r.cmd.Start()
	}
	closeAll(r.theirs)
	if err != nil {
		closeAll(r.ours)
		return startFailure(c, err)
	}
	if c.Started != nil {
		c.Started(r.cmd.Process.Pid)
	}
	for _, o := range r.outlets {
		go o.run()
	}
	if r.stdin != nil {
		go r.feed()
	}
	code, err = r.supervise(ctx)
	if len(c.OnCancel) > 0 && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		c.abandon(ctx)
	}
	return code, err
}

// abandonLimit bounds what cleans up after a process.
const abandonLimit = time.Minute

func (c Command) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonLimit)
	defer cancel()
	_, _ = Run(ctx, Command{Argv: c.OnCancel, Env: c.Env, Dir: c.Dir})
}

// lookUp resolves the program as execvp(3) would with the PATH of c, except that entries
// of PATH that are relative are passed over.
func lookUp(c Command) (string, error) {
	name := c.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := SystemPath
	for _, e := range c.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	err := fs.ErrNotExist
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if st, statErr := os.Stat(file); !filepath.IsAbs(dir) || statErr != nil || st.IsDir() {
			continue
		}
		if unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
		err = fs.ErrPermission
	}
	if name == "" || errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no such program in PATH %s: %w", path, fs.ErrNotExist)
	}
	return "", fmt.Errorf("not executable in PATH %s: %w", path, err)
}

// LookPath finds a program as Run does, in the PATH of an environment.
func LookPath(name string, env []string) (string, error) {
	return lookUp(Command{Argv: []string{name}, Env: env})
}

// startFailure turns the reason why c was not started into Run's results. execve(2) and
// chdir(2) fail alike, so a missing directory is told apart here.
func startFailure(c Command, err error) (int, error) {
	code := CodeNotExecutable
	if errors.Is(err, fs.ErrNotExist) {
		code = CodeNotFound
	}
	if st, dirErr := os.Stat(c.Dir); c.Dir != "" && (dirErr != nil || !st.IsDir()) {
		code, err = CodeNotExecutable, fmt.Errorf("working directory %s: %w", c.Dir, syscall.ENOTDIR)
		if dirErr != nil {
			err = fmt.Errorf("working directory: %w", dirErr)
		}
	}
	return code, fmt.Errorf("starting %q: %w", c.Argv[0], err)
}

// process is a Command being run.
type process struct {
	Command
	cmd    *exec.Cmd
	theirs []*os.File // closed here once the process has them
	ours   []*os.File // closed here once the process has ended

	stdin    *os.File // where Stdin is copied to, nil when there is nothing to copy
	stdinErr atomic.Pointer[error]
	outlets  []*outlet
	master   *os.File // the terminal's near side, nil without one
}

// openVariables gives the process a container's variables on descriptor 3, the first that it has beside the standard ones.
func (r *process) openVariables() error {
	f, err := variablesFile(r.Variables)
	if err != nil {
		return err
	}
	r.theirs = append(r.theirs, f)
	r.cmd.ExtraFiles = []*os.File{f}
	r.cmd.Env = withVariables(r.cmd.Env, 3)
	return nil
}

// supervise passes signals and sizes on until the process has ended, ends it when ctx does,
// and gathers how everything went.
func (r *process) supervise(ctx context.Context) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- r.cmd.Wait() }()
	var resizes <-chan Size
	if r.Terminal != nil {
		resizes = r.Terminal.Resize
	}
	signals, cancelled := r.Signals, ctx.Done()
	var groups []int
	var kill <-chan time.Time
	for {
		select {
		case err := <-ended:
			if groups != nil {
				endGroups(groups, kill)
			}
			return r.finish(ctx, groups != nil, err)
		case s, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			r.signal(s)
		case s, ok := <-resizes:
			if !ok {
				resizes = nil
				continue
			}
			r.resize(s)
		case <-cancelled:
			cancelled, groups = nil, r.groups()
			grace := r.Grace
			if grace == 0 {
				grace = defaultGrace
			}
			kill = time.After(grace)
			// A stopped process would not see the first before the second.
			signalGroups(groups, syscall.SIGTERM)
			signalGroups(groups, syscall.SIGCONT)
		case <-kill:
			kill = nil
			signalGroups(groups, syscall.SIGKILL)
		}
	}
}

func (r *process) signal(s os.Signal) {
	sig, ok := s.(syscall.Signal)
	if ok && r.Terminal != nil {
		signalGroups([]int{r.cmd.Process.Pid}, sig)
		return
	}
	_ = r.cmd.Process.Signal(s)
}

// groups returns the process groups that a cancelled command is made of: its own, and the
// foreground job that an interactive shell has put on its terminal.
func (r *process) groups() []int {
	groups := []int{r.cmd.Process.Pid}
	if r.master != nil {
		onFD(r.master, func(fd int) {
			if fg, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && fg > 1 && fg != groups[0] {
				groups = append(groups, fg)
			}
		})
	}
	return groups
}

// signalGroups sends s to each group and reports whether any is still there. A group's number
// stays taken while it has members, so a late signal meets no process, rather than another one.
func signalGroups(groups []int, s syscall.Signal) (alive bool) {
	for _, g := range groups {
		if syscall.Kill(-g, s) == nil {
			alive = true
		}
	}
	return alive
}

// endGroups waits for what the ended process has left of its groups, and kills it when the
// grace is over. A nil kill means that it is.
func endGroups(groups []int, kill <-chan time.Time) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for kill != nil && signalGroups(groups, 0) {
		select {
		case <-tick.C:
		case <-kill:
			kill = nil
		}
	}
	signalGroups(groups, syscall.SIGKILL)
}

// finish delivers what is still in the pipes and reports how the process ended.
func (r *process) finish(ctx context.Context, cancelled bool, waitErr error) (int, error) {
	if r.stdin != nil && r.stdin != r.master {
		_ = r.stdin.Close()
	}
	for _, o := range r.outlets {
		o.finish(ctx)
	}
	closeAll(r.ours)

	var exit *exec.ExitError
	if waitErr != nil && !errors.As(waitErr, &exit) {
		return -1, fmt.Errorf("waiting for %q: %w", r.Argv[0], waitErr)
	}
	code := r.cmd.ProcessState.ExitCode()
	if st, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		code = 128 + int(st.Signal())
	}
	if cancelled {
		return code, ctx.Err()
	}
	var errs []error
	if err := r.stdinErr.Load(); err != nil {
		errs = append(errs, *err)
	}
	for _, o := range r.outlets {
		errs = append(errs, o.failure())
	}
	return code, errors.Join(errs...)
}
