package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// EnvVariables names the descriptor from which a program reads the variables of the container that it makes: each NAME=value
// (or a bare NAME) with a zero byte behind it. What stands there is in no environment and on no command line.
const EnvVariables = "LINNET_VARIABLES_FD"

// variablesFile is a file in memory with the variables, to be read from its start. It has no name that another process could
// open, and is gone with the last process that has it.
func variablesFile(variables []string) (*os.File, error) {
	f, err := memoryFile()
	if err != nil {
		return nil, fmt.Errorf("handing over the container's variables: %w", err)
	}
	if _, err = f.WriteString(strings.Join(variables, "\x00") + "\x00"); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("handing over the container's variables: %w", err)
	}
	return f, nil
}

// withVariables is env with the name of the descriptor that has a container's variables.
func withVariables(env []string, fd int) []string {
	return append(env[:len(env):len(env)], EnvVariables+"="+strconv.Itoa(fd))
}

// keepVariables makes a file that outlives execve(2) and returns env with its descriptor.
func keepVariables(env, variables []string) ([]string, error) {
	if len(variables) == 0 {
		return env, nil
	}
	f, err := variablesFile(variables)
	if err != nil {
		return nil, err
	}
	// A copy that no os.File closes, and that lacks the flag FD_CLOEXEC.
	fd, err := unix.Dup(int(f.Fd()))
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("handing over the container's variables: %w", err)
	}
	return withVariables(env, fd), nil
}
