//go:build unix

package host

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Daemon is a local process that outlives the one that started it.
type Daemon struct {
	Argv []string
	// Env is the whole environment.
	Env []string
	Dir string
	// Log receives stdout and stderr, appended; made with mode 0600.
	Log string
	// ExtraFiles become descriptors 3, 4, ...
	ExtraFiles []*os.File
	// Apart starts it in namespaces of its own, where it can make Views; Linux alone has them.
	Apart bool
	// Nice is its nice value (setpriority(2)), where that can be given; 0 is this process's own.
	Nice int
	// Plain gives it the scheduling, the processors, the signal mask and the session keyring
	// that a service has, whatever this process was started with; Linux only.
	Plain bool
}

// Started is a daemon that was started by this process.
type Started struct {
	PID int
	cmd *exec.Cmd
}

// Start starts d in a session of its own, so that no terminal's hang-up reaches it.
func (d Daemon) Start() (*Started, error) {
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", d.Argv[0], err)
	}
	defer log.Close()
	cmd := exec.Command(d.Argv[0], d.Argv[1:]...) //nolint:noctx // a daemon outlives every context of the process that starts it
	cmd.Env, cmd.Dir = d.Env, d.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = d.ExtraFiles
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.Apart {
		setApart(cmd.SysProcAttr)
	}
	if err := start(cmd, d.Nice, d.Plain); err != nil {
		return nil, fmt.Errorf("starting %s: %w", d.Argv[0], err)
	}
	return &Started{PID: cmd.Process.Pid, cmd: cmd}, nil
}

// Wait waits for its end and says how it ended.
func (s *Started) Wait() error { return s.cmd.Wait() }
