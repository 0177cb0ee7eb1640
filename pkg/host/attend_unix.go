//go:build unix

package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/term"
)

// carried are the signals that another process may send to this one and that mean the program
// it attends. Those that a terminal sends go to the whole foreground group anyway.
var carried = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
}

// Attend runs a program on this process's own terminal, passes on the signals that reach us,
// puts the terminal back to how it was, and ends this process as the program ended: with its
// exit code, or by its signal. It is for a program that makes the terminal raw and would
// leave it so when it is killed. It returns only when the program could not be started. For variables see EnvVariables.
func Attend(program string, argv, env, variables []string) error {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return fmt.Errorf("reading the terminal's state: %w", err)
	}
	if env, err = keepVariables(env, variables); err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, carried...)
	// The signal that the kernel sends when we are killed belongs to the thread that forks.
	runtime.LockOSThread()
	cmd := &exec.Cmd{
		Path: program, Args: argv, Env: env,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: endsWithUs(),
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // ended meanwhile
		case err := <-ended:
			_ = term.Restore(fd, before) // gone, when the terminal hung up
			exitAs(cmd.ProcessState, err)
		}
	}
}

// Become replaces this process by a program (execve(2)); it returns only when it could not. For variables see EnvVariables.
func Become(program string, argv, env, variables []string) error {
	env, err := keepVariables(env, variables)
	if err != nil {
		return err
	}
	return syscall.Exec(program, argv, env)
}

// exitAs ends this process as another one ended.
func exitAs(state *os.ProcessState, err error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		os.Exit(1) //nolint:forbidigo // this process stands for the one that ended
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		signal.Reset()
		_ = syscall.Kill(os.Getpid(), status.Signal())
		os.Exit(128 + int(status.Signal())) //nolint:forbidigo // a signal that does not end us
	}
	os.Exit(state.ExitCode()) //nolint:forbidigo // as above
}
