package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/settings"
)

const dockerLong = `docker is for tools that speak Docker's API: docker's own command line, Testcontainers, dev containers,
editors, act. The engine answers them on a socket in LINNET_HOME, and these commands lead them
there: a Docker context, DOCKER_HOST for a shell, or a link at /var/run/docker.sock.

Images are shared with linnet's own commands. Containers, networks, volumes and build cache are not:
"linnet ps" does not list what docker runs. There is no docker in linnet: commands such as
"docker ps" are those of docker's own program.`

func (a *app) newDocker() *cobra.Command {
	c := group("docker", "lead tools that speak Docker's API to the engine")
	c.Long = dockerLong
	c.AddCommand(a.newDockerContext(), a.newDockerEnv(), a.newDockerEnable(), a.newDockerDisable())
	return c
}

// dockerSocket is where the engine answers Docker's API, for a command that leads tools there. When the settings turn it off it is an error.
func (a *app) dockerSocket(command string) (string, error) {
	s, err := a.Settings()
	if err != nil {
		return "", err
	}
	if err := refuseOff(command, s.Show()); err != nil {
		return "", err
	}
	l, err := a.Layout()
	return l.DockerSocket(), err
}

// refuseOff is an error when settings turn Docker's API off.
func refuseOff(command string, entries []settings.Entry) error {
	const key = "docker.socket"
	i := slices.IndexFunc(entries, func(e settings.Entry) bool { return e.Key == key })
	if i < 0 || entries[i].Text() != "off" {
		return nil
	}
	return hint.With(fmt.Errorf("%s: Docker's API is turned off: %s is off (%s)", command, key, entries[i].Source),
		fmt.Sprintf("set %s to on, and restart the engine", key))
}

// noteStopped tells that the socket does not answer yet, and what makes it.
func (a *app) noteStopped(ctx context.Context, socket string) error {
	e, err := a.Engine()
	if err != nil {
		return err
	}
	if !e.Running(ctx) {
		a.note(fmt.Sprintf("the engine does not run, and %s does not answer: linnet engine start makes it listen", socket))
	}
	return nil
}

// address is a socket as docker names one.
func address(socket string) string { return "unix://" + socket }

func (a *app) newDockerEnv() *cobra.Command {
	var f envFlags
	c := &cobra.Command{
		Use: "env", Short: "print DOCKER_HOST for a shell", Args: NoArgs,
		Long: `env prints the line that sets DOCKER_HOST in a shell, for tools started there:

  bash, zsh: eval "$(linnet docker env)"
  fish:      linnet docker env | source

DOCKER_HOST goes before every Docker context.`,
		Example: `  eval "$(linnet docker env)"
  eval "$(linnet docker env --unset)"
  linnet docker env --format json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dockerEnv(cmd.Context(), f) },
	}
	c.Flags().StringVar(&f.shell, "shell", "", "the shell that reads it: "+strings.Join(shells, ", ")+" (default: by SHELL)")
	c.Flags().BoolVar(&f.unset, "unset", false, "print the line that takes DOCKER_HOST away")
	AddFormat(c, &f.format)
	_ = c.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// shells are those that env writes for; sh reads what bash does.
var shells = []string{"bash", "zsh", "fish"}

type envFlags struct {
	shell, format string
	unset         bool
}

func (a *app) dockerEnv(ctx context.Context, f envFlags) error {
	if f.shell != "" && !slices.Contains(shells, f.shell) {
		return Usage(fmt.Errorf("docker env: --shell: %q is not a known shell", f.shell), strings.Join(shells, ", "))
	}
	if f.unset && f.format != "" {
		return Usage(fmt.Errorf("docker env: --unset and --format exclude each other"), "leave one of them out")
	}
	shell := f.shell
	if shell == "" {
		shell = filepath.Base(os.Getenv("SHELL"))
	}
	if f.unset {
		_, err := io.WriteString(a.streams.Out, unsetText(shell))
		return err
	}
	socket, err := a.dockerSocket("docker env")
	if err != nil {
		return err
	}
	value := struct {
		Host string `json:"DOCKER_HOST"`
	}{address(socket)}
	err = Show(a.streams, f.format, value, func(w io.Writer) error {
		_, err := io.WriteString(w, exportText(shell, value.Host))
		return err
	})
	if err != nil {
		return err
	}
	return a.noteStopped(ctx, socket)
}

// exportText are the lines that set DOCKER_HOST in a shell, with how to have them read. What is no known shell is taken for a POSIX one.
func exportText(shell, host string) string {
	if shell == "fish" {
		return fmt.Sprintf("set -gx DOCKER_HOST %s\n# linnet docker env | source\n", quoteFish(host))
	}
	return fmt.Sprintf("export DOCKER_HOST=%s\n# eval \"$(linnet docker env)\"\n", quoteShell(host))
}

// unsetText are the lines that take DOCKER_HOST away.
func unsetText(shell string) string {
	if shell == "fish" {
		return "set -e DOCKER_HOST\n# linnet docker env --unset | source\n"
	}
	return "unset DOCKER_HOST\n# eval \"$(linnet docker env --unset)\"\n"
}

// isPlain reports whether every shell takes a word as it stands.
func isPlain(word string) bool {
	return word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/:._-+,@%", r)
	})
}

// quoteShell is a word as POSIX shells read it, in quotes where it needs them.
func quoteShell(word string) string {
	if isPlain(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// quoteFish is a word as fish reads it: within single quotes, only these two characters are escaped.
func quoteFish(word string) string {
	if isPlain(word) {
		return word
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(word) + "'"
}
