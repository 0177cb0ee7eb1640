package lima

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/relay"
)

// Path says where a host's path is in the machine: at the same place, if it is below a directory
// that is shared.
func (g *Guest) Path(path string) (guest.Visible, error) {
	if !filepath.IsAbs(path) {
		return guest.Visible{}, &guest.NotVisibleError{Host: path, Reason: "the path is not absolute"}
	}
	if path == relay.SSHAgentPath {
		return g.sshAgentPath()
	}
	resolved, _, err := host.Resolve(path)
	if err != nil {
		return guest.Visible{}, &guest.NotVisibleError{Host: path, Reason: hint.PathCause(err).Error(), Fix: "check the spelling of the path"}
	}
	if home := g.machine.linnetHome(); hostNames().inside(resolved, home) {
		if g.machine.o.Docker && resolved == g.layout.DockerSocket() {
			return guest.Visible{Path: GuestLayout().DockerSocket()}, nil
		}
		return guest.Visible{}, guest.Kept(path, home)
	}
	mounts := g.machine.shared()
	slices.SortFunc(mounts, func(a, b Mount) int { return len(b.Path) - len(a.Path) }) // a directory in another one may be read-only
	for _, m := range mounts {
		if below(resolved, m.Path) {
			return guest.Visible{Path: resolved, ReadOnly: m.ReadOnly}, nil
		}
	}
	return guest.Visible{}, guest.Unshared(path, directory(resolved), g.layout.Settings())
}

// sshAgentPath is the user's SSH agent in the machine, where all that runs can sign with its keys.
func (g *Guest) sshAgentPath() (guest.Visible, error) {
	refuse := func(reason, fix string) (guest.Visible, error) {
		return guest.Visible{}, &guest.NotVisibleError{Host: relay.SSHAgentPath, Reason: reason, Fix: fix}
	}
	switch {
	case !g.machine.o.SSHAgent:
		return refuse("the virtual machine has no SSH agent", "set vm.forwardAgent to on in "+g.layout.Settings()+", then: linnet vm restart; or let a build use it: linnet build --ssh default")
	case g.sshAgent() == "":
		return refuse("there is no SSH agent: SSH_AUTH_SOCK is not set", "start one: eval $(ssh-agent); ssh-add; then: linnet vm restart")
	}
	return guest.Visible{Path: relay.SSHAgentPath}, nil
}

// directory is a path, or the directory that it is in when it is a file, or not there.
func directory(path string) string {
	for path != "/" {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

// shared are the directories that the machine shares: those that it was configured with, or will
// be, the home directory first.
func (m *Machine) shared() []Mount {
	var mounts []Mount
	if shape, ok := ReadShape(m.o.Layout); ok {
		for _, text := range shape.Mounts {
			mounts = append(mounts, ParseMount(text))
		}
	} else if there, err := existing(m.o.Wanted.mounts(m.o.Facts.Home)); err == nil {
		mounts = there
	}
	return mounts
}

// sshAgent is the socket of the user's SSH agent, if the machine may have it and there is one.
func (g *Guest) sshAgent() string {
	if !g.machine.o.SSHAgent {
		return ""
	}
	for _, pair := range slices.Backward(g.environ) {
		if socket, ok := strings.CutPrefix(pair, "SSH_AUTH_SOCK="); ok {
			return socket
		}
	}
	return ""
}
