package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// systemDockerSocket is where tools look for Docker's API that know neither contexts nor DOCKER_HOST. Only root may write there.
const systemDockerSocket = "/var/run/docker.sock"

type linkFlags struct{ yes, dryRun bool }

func (a *app) newDockerEnable() *cobra.Command {
	var f linkFlags
	c := &cobra.Command{
		Use: "enable", Short: "make /var/run/docker.sock lead to the engine", Args: NoArgs,
		Long: `enable makes a symbolic link at /var/run/docker.sock, for tools that look for Docker's API nowhere else. It says
what it will do, and asks; only root may write there, so an ordinary user is asked for a password by
sudo. What is at that place already is left alone. The link is gone after a restart of the machine,
as all in /var/run is. Users other than you cannot use the socket through it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const command = "docker enable"
			socket, err := a.dockerSocket(command)
			if err != nil {
				return err
			}
			place, err := a.systemPlace(command, socket)
			if err != nil {
				return err
			}
			plan, err := place.enable()
			if err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
			if err := a.carryOut(cmd.Context(), command, plan, f); err != nil || f.dryRun {
				return err
			}
			return a.noteStopped(cmd.Context(), socket)
		},
	}
	addLinkFlags(c, &f)
	return c
}

func (a *app) newDockerDisable() *cobra.Command {
	var f linkFlags
	c := &cobra.Command{
		Use: "disable", Short: "take away what enable has made", Args: NoArgs,
		Long: `disable removes the symbolic link at /var/run/docker.sock that enable has made, and nothing else: neither a link
that leads elsewhere, nor another engine's socket.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const command = "docker disable"
			l, err := a.Layout()
			if err != nil {
				return err
			}
			place, err := a.systemPlace(command, l.DockerSocket())
			if err != nil {
				return err
			}
			plan, err := place.disable()
			if err != nil {
				return fmt.Errorf("%s: %w", command, err)
			}
			return a.carryOut(cmd.Context(), command, plan, f)
		},
	}
	addLinkFlags(c, &f)
	return c
}

func addLinkFlags(c *cobra.Command, f *linkFlags) {
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the commands that it would run, and run none")
}

// systemPlace looks at where tools look for Docker's socket.
func (a *app) systemPlace(command, socket string) (linkPlace, error) {
	p := linkPlace{Path: a.systemSocket, Socket: socket, Root: settings.HostFacts().Root}
	info, err := os.Lstat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, fmt.Errorf("%s: looking at %s: %w", command, p.Path, hint.Cause(err))
	}
	p.Mode, p.Owner, p.Answers = info.Mode(), host.Owner(info), answer(p.Path)
	if p.isLink() {
		if p.Target, err = os.Readlink(p.Path); err != nil {
			return p, fmt.Errorf("%s: looking at %s: %w", command, p.Path, hint.Cause(err))
		}
	}
	return p, nil
}

// answer says in words what a connection to a socket meets.
func answer(path string) string {
	c, err := net.DialTimeout("unix", path, time.Second) //nolint:noctx // a local socket answers or refuses at once
	switch {
	case err == nil:
		c.Close()
		return "where a process listens"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "where no process listens"
	case errors.Is(err, fs.ErrNotExist):
		return "which is not there"
	case errors.Is(err, fs.ErrPermission):
		return "which you may not use"
	}
	return ""
}

// carryOut does what a plan says, after a question, or prints its commands.
func (a *app) carryOut(ctx context.Context, command string, plan linkPlan, f linkFlags) error {
	lines := plan.lines()
	switch {
	case f.dryRun:
		for _, line := range lines {
			fmt.Fprintln(a.streams.Out, line)
		}
		return nil
	case len(lines) == 0:
		a.tell("%s", plan.Says)
		return nil
	}
	says := fmt.Sprintf("%s, by: %s", plan.Says, strings.Join(lines, "; "))
	if f.yes || !a.streams.InTerminal() {
		a.tell("%s", says)
	}
	if !f.yes {
		if err := a.agree(ctx, command, says+". Continue?", "--yes"); err != nil {
			return err
		}
	}
	a.closeReport()
	for i, argv := range plan.Commands {
		code, err := host.Foreground(argv, os.Environ())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return hint.With(fmt.Errorf("%s: %w", command, err), "as root: "+strings.TrimPrefix(lines[i], "sudo "))
		case err != nil:
			return fmt.Errorf("%s: %w", command, err)
		case code != 0:
			return fmt.Errorf("%s: %s has ended with exit code %d", command, lines[i], code)
		}
	}
	return nil
}

// linkPlace is what is known of the place where tools look for Docker's socket.
type linkPlace struct {
	// Path is the place, and Socket where the engine listens.
	Path, Socket string
	// Root reports whether linnet may write there itself.
	Root bool

	// Owner is who what is there belongs to; empty says that nothing is there.
	Owner string
	Mode  fs.FileMode
	// Target is where a link leads, as it stands, and Answers what a connection meets, in words.
	Target, Answers string
}

// linkPlan is what is to be done: what it comes to, as the beginning of a sentence, and commands, none where nothing is to be done.
type linkPlan struct {
	Says     string
	Commands [][]string
}

// lines are the commands as one types them.
func (p linkPlan) lines() (all []string) {
	for _, argv := range p.Commands {
		words := make([]string, len(argv))
		for i, word := range argv {
			words[i] = quoteShell(word)
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

func (p linkPlace) isLink() bool { return p.Mode&fs.ModeSymlink != 0 }

// isOurs reports whether the link is there that enable makes.
func (p linkPlace) isOurs() bool { return p.Owner != "" && p.isLink() && p.Target == p.Socket }

// privileged is a command that only root may run.
func (p linkPlace) privileged(argv ...string) []string {
	if p.Root {
		return argv
	}
	return append([]string{"sudo"}, argv...)
}

// enable plans the link. What is there and is not that link is an error.
func (p linkPlace) enable() (linkPlan, error) {
	switch {
	case p.isOurs():
		return linkPlan{Says: fmt.Sprintf("%s leads to %s already", p.Path, p.Socket)}, nil
	case p.Owner != "":
		return linkPlan{}, hint.New(p.describe(), "see whether another engine needs it before you remove it; linnet docker context and linnet docker env do without")
	}
	return linkPlan{
		Says:     fmt.Sprintf("%s will lead to %s until this machine restarts", p.Path, p.Socket),
		Commands: [][]string{p.privileged("ln", "-s", p.Socket, p.Path)},
	}, nil
}

// disable plans the link's end. What is there and is not that link is an error.
func (p linkPlace) disable() (linkPlan, error) {
	switch {
	case p.Owner == "":
		return linkPlan{Says: fmt.Sprintf("there is no %s", p.Path)}, nil
	case !p.isOurs():
		return linkPlan{}, hint.New(p.describe(), "linnet docker disable removes the link alone that linnet docker enable makes")
	}
	return linkPlan{
		Says:     fmt.Sprintf("%s will no longer lead to %s", p.Path, p.Socket),
		Commands: [][]string{p.privileged("rm", p.Path)},
	}, nil
}

// describe says what is there and whose it is.
func (p linkPlace) describe() string {
	what := "a file"
	switch {
	case p.isLink():
		what = "a link to " + p.Target
	case p.Mode&fs.ModeSocket != 0:
		what = "a socket"
	case p.Mode.IsDir():
		what = "a directory"
	}
	text := fmt.Sprintf("%s is %s", p.Path, what)
	if p.Answers != "" && (p.isLink() || p.Mode&fs.ModeSocket != 0) {
		text += ", " + p.Answers
	}
	return text + "; it belongs to " + p.Owner
}
