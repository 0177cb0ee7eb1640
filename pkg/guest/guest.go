// Package guest is the seam of linnet: somewhere Linux containers can run.
//
// Everything above it (forward, build, compose) speaks only to Guest and must not learn
// which implementation it holds; everything below it (native, lima) decides how a process
// gets there. The package therefore imports nothing of ours. guesttest holds the contract
// that every implementation passes.
package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
)

// Guest is somewhere Linux containers can run: this host, or a virtual machine.
type Guest interface {
	// Ready makes the guest usable and returns when containers can be run in it. It is cheap
	// when they can be already, and safe to call from many processes at once.
	Ready(ctx context.Context) error

	// Run executes p in the guest and returns when it has ended. A process that ran and
	// failed is an *ExitError; any other error means that it could not be run, or that
	// its end is unknown. When ctx ends, the process is sent SIGTERM, then SIGKILL.
	Run(ctx context.Context, p Process) error

	// Path says where an absolute host path is seen in the guest, with symbolic links
	// resolved, or fails with a *NotVisibleError. A path that does not exist yet is where
	// its nearest parent that does exist says.
	Path(host string) (Visible, error)

	// Stage makes a private directory in memory in the guest. It is gone when it is
	// closed, or when the connection ends.
	Stage(ctx context.Context) (Stage, error)

	// Dial connects to a service in the guest, and waits for one that is not there yet.
	Dial(ctx context.Context, s Service) (net.Conn, error)

	// Capabilities are always the same, and asked without any cost.
	Capabilities() Capabilities
}

// Capabilities are what differs between guests.
type Capabilities struct {
	// Machine says that the guest is a virtual machine, and not this host.
	Machine bool
	// Replace, where the guest's processes are this host's, has a command after which nothing remains to be done take this
	// process over, as execve(2) does; it returns only when it could not. The streams and the terminal are the caller's own,
	// whatever p says; a TTY in p says that the process may make it raw.
	Replace func(p Process) error
	// Settle, where the guest can end without this host, brings to the guest's disk what services were asked to change. After a
	// command that Run ran it is there already.
	Settle func(ctx context.Context) error
}

// Process is a command to run in a Guest.
type Process struct {
	// Argv is the program and its arguments. A program without a slash is looked up
	// in the guest; "nerdctl" is the pinned one, already pointed at the engine, and
	// "linnet-agent" the agent's.
	Argv []string
	// Env is a list of NAME=value that is added to the guest's own environment; a bare NAME
	// takes that name out of it. Values arrive byte for byte and never show on an argv or
	// in a log.
	Env []string
	// Variables are NAME=value, or a bare NAME, of the container that the process makes. It reads them from the descriptor
	// that LINNET_VARIABLES_FD names, each with a zero byte behind it: they are in no environment of a process and
	// on no argv, and byte for byte what they are here.
	Variables []string
	// Dir is the working directory, a path in the guest; empty means the guest's own choice.
	Dir string

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// TTY, when set, gives the process a terminal; Stdout then carries everything it
	// writes, and Stderr nothing.
	TTY *TTY
	// Signals are delivered to the process as they arrive; nil means none.
	Signals <-chan os.Signal
	// OnCancel, when set, is a command that is run in the guest, once, with the same Env and
	// Dir, after the process was ended because ctx ended or because this process is gone: it
	// removes what the process had promised to remove itself. Its argv is looked up as Argv
	// is; what it writes and how it ends is not reported.
	OnCancel []string
	// Credentials answers the registry credential requests of this one command; nil
	// means that the guest's own configuration answers. Empty Credentials without an error
	// mean that there are none for that registry.
	Credentials func(ctx context.Context, registry string) (Credentials, error)
}

// TTY describes the terminal that a process is given.
type TTY struct {
	// Term is the value of TERM in the guest; empty means "xterm".
	Term string
	// Size is the size at the start, and Resize delivers every later one; nil means never.
	Size   Size
	Resize <-chan Size
}

// Size is a terminal's size in character cells.
type Size = struct{ Rows, Cols uint16 }

// Credentials are what a registry asks for: a user with a password, or an identity token.
type Credentials struct {
	Username string
	Secret   string
}

// Visible is a host path as the guest sees it.
type Visible struct {
	// Path is the path in the guest, absolute, with symbolic links resolved.
	Path string
	// ReadOnly says that the guest cannot write there, whatever the file's mode.
	ReadOnly bool
}

// Stage is a private directory in memory in a Guest.
type Stage interface {
	// Put writes a file of that name with exactly that mode and returns its path in the guest.
	Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (string, error)
	// Path returns where a file of that name is or would be in the guest.
	Path(name string) string
	// Get opens a file that is there now; an absent one is fs.ErrNotExist.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// Close removes the directory and everything in it.
	Close() error
}

// ExitError says that a process ran and ended with something other than success.
type ExitError struct {
	// Code is the exit code as a shell would show it: 0 to 255, 128+N after signal N.
	Code int
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// ExitCode returns the code that err carries when it is an *ExitError; ok reports whether it is.
func ExitCode(err error) (code int, ok bool) {
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit.Code, true
	}
	return 0, false
}

// NotVisibleError says that a host path cannot be seen from the guest.
type NotVisibleError struct {
	// Host is the path as it was asked for, Reason why the guest does not see it, and
	// Fix the one thing that would change that (a settings key, say).
	Host, Reason, Fix string
}

// Unshared is why a virtual machine does not have a path of its host: dir is what would have to be shared, settings the file that says so.
func Unshared(path, dir, settings string) *NotVisibleError {
	return &NotVisibleError{
		Host: path, Reason: "it is in no directory that the virtual machine shares",
		Fix: fmt.Sprintf("add %s to vm.mounts in %s, then: linnet vm restart", dir, settings),
	}
}

// Kept is why a virtual machine does not have a path in linnet's home.
func Kept(path, home string) *NotVisibleError {
	return &NotVisibleError{
		Host: path, Reason: "it belongs to linnet itself, and the virtual machine does not see " + home, Fix: "keep it elsewhere",
	}
}

// Hint returns Fix, for package hint.
func (e *NotVisibleError) Hint() string { return e.Fix }

func (e *NotVisibleError) Error() string {
	return fmt.Sprintf("%s is not visible to the engine: %s", e.Host, e.Reason)
}
