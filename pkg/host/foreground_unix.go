//go:build unix

package host

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// Foreground runs a program on this process's own streams, in its process group, so that the program can ask the user something on
// the terminal, as sudo(8) asks for a password. The program is looked up in the PATH of env. The code and errors are those of Run.
func Foreground(argv, env []string) (code int, err error) {
	path, err := LookPath(argv[0], env)
	if err != nil {
		return startFailure(Command{Argv: argv}, err)
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Env: env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return startFailure(Command{Argv: argv}, err)
	}
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// Owner names the owner of what info, of os.Lstat or the like, describes: "root (uid 0)".
func Owner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "an unknown user"
	}
	return userName(st.Uid)
}
