//go:build mend

package composer

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// createNerdctlCmd prepares a nerdctl for a part of compose's work. One that makes or enters a container gets the container's
// variables on a descriptor (LINNET_VARIABLES_FD): they are not on its command line, which compose prints, and of this
// process's environment, with which compose files are interpolated, it gets what it needs to run.
func (c *Composer) createNerdctlCmd(ctx context.Context, args ...string) *exec.Cmd {
	if len(args) == 0 || !slices.Contains([]string{"run", "create", "exec", "start"}, args[0]) {
		return c.unmendedcreateNerdctlCmd(ctx, args...)
	}
	args, variables := takeVariables(args)
	cmd := c.unmendedcreateNerdctlCmd(ctx, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return !childVariable(name)
	})
	if len(variables) > 0 {
		handVariables(cmd, variables)
	}
	return cmd
}

// takeVariables takes the variables out of the flags of a command line, in the forms in which this package writes them.
// A bare NAME gets the value that it has here.
func takeVariables(args []string) (rest, variables []string) {
	take := func(v string) {
		if value, set := os.LookupEnv(v); set && !strings.Contains(v, "=") {
			v += "=" + value
		}
		variables = append(variables, v)
	}
	rest = append(rest, args[0])
	for i := 1; i < len(args); i++ {
		word := args[i]
		short, isShort := strings.CutPrefix(word, "-e=")
		switch {
		case isShort:
			take(short)
		case word == "--env" && i+1 < len(args):
			i++
			take(args[i])
		case (word == "--user" || word == "--workdir") && i+1 < len(args):
			i++
			rest = append(rest, word, args[i])
		case strings.HasPrefix(word, "-"):
			rest = append(rest, word)
		default: // the image or the container; what follows is the program's
			return append(rest, args[i:]...), variables
		}
	}
	return rest, variables
}

// handVariables gives a command variables in a file in memory. Where that fails the command fails before it begins.
func handVariables(cmd *exec.Cmd, variables []string) {
	fd, err := unix.MemfdCreate("variables", unix.MFD_CLOEXEC)
	if err != nil {
		cmd.Err = err
		return
	}
	file := os.NewFile(uintptr(fd), "variables")
	if _, err := file.WriteString(strings.Join(variables, "\x00") + "\x00"); err != nil {
		cmd.Err = err
	}
	cmd.ExtraFiles = []*os.File{file} // descriptor 3
	cmd.Env = append(cmd.Env, "LINNET_VARIABLES_FD=3")
}

// childVariable reports whether a nerdctl that makes a container gets a variable of that name from this process.
func childVariable(name string) bool {
	switch name {
	case "BUILDKIT_HOST", "CNI_PATH", "NETCONFPATH", "ROOTLESSKIT_STATE_DIR", "PATH", "HOME", "USER", "LOGNAME", "TERM", "TZ", "LANG", "LANGUAGE", "NO_COLOR", "TMPDIR",
		"DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
		"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK", "GNUPGHOME", "OCICRYPT_KEYPROVIDER_CONFIG",
		"COSIGN_EXPERIMENTAL", "COSIGN_REPOSITORY", "IPFS_PATH":
		return true
	}
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
		return true
	}
	return strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "NERDCTL_") || strings.HasPrefix(name, "CONTAINERD_") || name == "LINNET_CREDENTIALS"
}
