package lima

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// GuestHidden is where a machine finds the directories that it must not see, one a line: what is
// shared of them is covered before anything else runs (deps/image/early).
const GuestHidden = guestRun + "/hidden"

// hide keeps LINNET_HOME out of what is shared: keys, sockets and the machine's own configuration are
// there, and what the engine's programs on the host are started with. The home directory is shared
// around it: where views can be had, the machine's processes have none of it to share; elsewhere it is
// hidden in the machine, where root can find it. A share that was chosen is a promise that nothing else
// can be written, everywhere: one that has LINNET_HOME in it is refused. So is each that has it by another
// name, as in a bind mount, which no view goes without.
func (c choice) hide(n names, linnetHome, userHome string, views func() bool) (hidden []string, err error) {
	refuse := func(m Mount, why, fix string) error {
		return &hint.Error{Err: fmt.Errorf("sharing %s: %s", m.Path, why), Fix: fix}
	}
	const move = "name the directories in it that are needed, or share it read-only (:ro), or set " + host.EnvHome + " to a directory elsewhere"
	for _, m := range c.mounts {
		others := n.others(m.Path, linnetHome)
		switch {
		case n.inside(m.Path, linnetHome):
			return nil, refuse(m, "it belongs to linnet itself ("+host.EnvHome+" is "+linnetHome+")", "name another directory in vm.mounts")
		case m.ReadOnly:
		case len(others) > 0:
			return nil, refuse(m, host.EnvHome+" ("+linnetHome+") is in it by another name ("+others[0]+"), which the virtual machine must not write", move)
		case !below(linnetHome, m.Path):
		case m.Path != userHome:
			return nil, refuse(m, host.EnvHome+" is in it ("+linnetHome+"), which the virtual machine must not write", move)
		case c.mountType == "reverse-sshfs" && !views():
			return nil, refuse(m, "with vm.mountType reverse-sshfs the virtual machine could write "+linnetHome+" in it", "set vm.mountType to auto, or share it read-only (\"~:ro\")")
		}
	}
	return n.hidden(c.mounts, linnetHome), nil
}

// hidden are the paths of LINNET_HOME in mounts.
func (n names) hidden(mounts []Mount, linnetHome string) (hidden []string) {
	for _, m := range mounts {
		if below(linnetHome, m.Path) {
			hidden = append(hidden, linnetHome)
		}
		hidden = append(hidden, n.others(m.Path, linnetHome)...)
	}
	slices.Sort(hidden)
	return slices.Compact(hidden)
}

// viewed are mounts that have LINNET_HOME in them, shared from a view without it.
func (m *Machine) viewed(mounts []Mount) []Mount {
	mounts = slices.Clone(mounts)
	for i := range mounts {
		if below(m.linnetHome(), mounts[i].Path) {
			mounts[i].view = m.view(strconv.Itoa(i))
		}
	}
	return mounts
}

// view is where the machine's processes see a mount, by its number; and what they see in the place of
// what they do not, by the name empty.
func (m *Machine) view(name string) string {
	return filepath.Join(host.Layout{Home: m.linnetHome()}.VMView(), name)
}

const empty = "empty"

// tryViews reports whether a process of this user can be given views: not every kernel lets it.
func (m *Machine) tryViews() bool {
	view := m.view("0")
	if m.o.Facts.OS != "linux" || m.o.Program == "" || unsafeFor9p(Mount{Path: view}) {
		return false
	}
	through, err := m.command([]Mount{{Path: filepath.Dir(m.linnetHome()), view: view}})
	if err != nil {
		return false
	}
	started, err := host.Daemon{Argv: through, Env: m.env(""), Dir: "/", Log: os.DevNull, Apart: true}.Start()
	return err == nil && started.Wait() == nil
}

// command is what stands in front of a command line that is to see mounts as they are viewed, with
// their directories made.
func (m *Machine) command(mounts []Mount) ([]string, error) {
	through := []string{m.o.Program, "vm", "view", m.linnetHome(), m.view(empty)}
	err := os.MkdirAll(m.view(empty), 0o700)
	for _, mount := range mounts {
		err = errors.Join(err, os.MkdirAll(mount.view, 0o700))
		through = append(through, mount.Path, mount.view)
	}
	if err != nil {
		return nil, host.HomeError(m.o.Layout.Home, err)
	}
	return append(through, "--"), nil
}

// through is what limactl is started through for a machine of a configuration; nothing, where it is
// started as it is.
func (m *Machine) through(config string) ([]string, error) {
	shape, ok := vm.ParseShape(config)
	if !ok || !shape.Viewed {
		return nil, nil
	}
	var mounts []Mount
	for i, text := range shape.Mounts {
		if mount := ParseMount(text); below(m.linnetHome(), mount.Path) {
			mount.view = m.view(strconv.Itoa(i))
			mounts = append(mounts, mount)
		}
	}
	return m.command(mounts)
}

// Sharing is what a machine reaches of this host's files.
type Sharing struct {
	// Mounts are the shared directories; Hidden are those in them that the machine does not see.
	Mounts []Mount
	Hidden []string
	// Kept says that what is hidden is not shared at all, and not only covered in the machine.
	Kept bool
}

// Sharing returns what the machine shares as it was configured, or will be.
func (m *Machine) Sharing() Sharing {
	s := Sharing{Mounts: m.shared()}
	home := m.linnetHome()
	s.Hidden = hostNames().hidden(s.Mounts, home)
	if slices.Equal(s.Hidden, []string{home}) { // no view goes without another name
		shape, ok := ReadShape(m.o.Layout)
		s.Kept = ok && shape.Viewed || !ok && m.views()
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
	but := ""
	if hidden := strings.Join(s.Hidden, ", "); s.Kept {
		but = ", but for " + hidden
	} else if hidden != "" {
		but = " (" + hidden + " is only covered there)"
	}
	return "what is root in the virtual machine can change every file below " + strings.Join(writable, ", ") + " as you can" + but + ", and no other of this host"
}
