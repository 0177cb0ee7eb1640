package lima

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/host"
)

// GuestHidden is where a machine finds the directories that it must not see, one a line: what is
// shared of them is covered before anything else runs (deps/image/early).
const GuestHidden = "/run/linnet/hidden"

// below reports whether a path is a directory, or in it; both are clean.
func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// hide keeps LINNET_HOME out of what is shared: keys, sockets and the machine's own configuration are
// there, and what the engine's programs on this side are started with. The home directory is shared
// around it. A share that was chosen is a promise that nothing else can be written, which hiding does
// not keep against root in the machine: such a one is refused.
func (c choice) hide(linnetHome, userHome string) (hidden []string, err error) {
	refuse := func(m Mount, why, fix string) error {
		return &host.HintError{Err: fmt.Errorf("sharing %s: %s", m.Path, why), Fix: fix}
	}
	for _, m := range c.mounts {
		switch {
		case below(m.Path, linnetHome):
			return nil, refuse(m, "it belongs to linnet itself ("+host.EnvHome+" is "+linnetHome+")", "name another directory in vm.mounts")
		case !below(linnetHome, m.Path):
			continue
		case m.ReadOnly:
		case m.Path != userHome:
			return nil, refuse(m, host.EnvHome+" is in it ("+linnetHome+"), which the virtual machine must not write", "name the directories in it that are needed, or share it read-only (:ro), or set "+host.EnvHome+" to a directory elsewhere")
		case c.mountType == "reverse-sshfs":
			return nil, refuse(m, "with vm.mountType reverse-sshfs the virtual machine could write "+linnetHome+" in it", "set vm.mountType to auto, or share it read-only (\"~:ro\")")
		}
		hidden = []string{linnetHome}
	}
	return hidden, nil
}

// Sharing is what a machine reaches of this host's files.
type Sharing struct {
	// Mounts are the shared directories; Hidden are those in them that the machine does not see.
	Mounts []Mount
	Hidden []string
}

// Sharing returns what the machine shares as it was configured, or will be.
func (m *Machine) Sharing() Sharing {
	s := Sharing{Mounts: m.shared()}
	home := m.linnetHome()
	for _, mount := range s.Mounts {
		if below(home, mount.Path) {
			s.Hidden = []string{home}
		}
	}
	return s
}

// linnetHome is LINNET_HOME without symbolic links.
func (m *Machine) linnetHome() string {
	home, _, err := host.Resolve(m.o.Layout.Home)
	if err != nil {
		return filepath.Clean(m.o.Layout.Home)
	}
	return home
}

// Boundary says in a line what of this host is out of the machine's reach.
func (s Sharing) Boundary() string {
	var writable []string
	for _, m := range s.Mounts {
		if !m.ReadOnly {
			writable = append(writable, m.Path)
		}
	}
	switch {
	case len(s.Mounts) == 0:
		return "the virtual machine reaches no file of this host"
	case len(writable) == 0:
		return "what runs in the virtual machine can read what is shared, and change no file of this host"
	}
	return "what is root in the virtual machine can change every file below " + strings.Join(writable, ", ") + " as you can, and no other of this host"
}
