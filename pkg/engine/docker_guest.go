//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guest"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// usualDockerSocket is where tools look for Docker's API that are told nothing else, and what they give to containers.
const usualDockerSocket = "/var/run/docker.sock"

// guestsOwn are paths that mean the machine's own wherever a container is given them, whatever the clients' host has there: the kernel's,
// and what tells how the machine is set up.
var guestsOwn = []string{"/dev", "/proc", "/sys", "/lib/modules", "/usr/lib/modules", "/etc/localtime", "/run/host-services"}

// guestPaths tells where dockerd in a virtual machine finds a path of the clients' host.
type guestPaths struct {
	outside agent.Outside
	// socket is where the machine's own Docker API is, volumes where dockerd keeps its volumes.
	socket, volumes string
	// resolve follows links, in the machine.
	resolve func(path string) (resolved, there string, err error)
}

func newGuestPaths(spec agent.Spec) guestPaths {
	return guestPaths{
		outside: spec.Outside, socket: spec.Layout.DockerSocket(), volumes: filepath.Join(spec.Layout.DockerRoot(), "volumes"), resolve: host.Resolve,
	}
}

// find is dockerapi's Path: what is shared is where it is, and the socket of Docker's API is the machine's. Anything else would be an empty
// directory there, or a file of the machine's that only has the name, and is refused as the client of linnet's own commands refuses it.
func (p guestPaths) find(path string) (string, error) {
	clean := filepath.Clean(path)
	switch {
	case clean == p.outside.Layout().DockerSocket(), clean == usualDockerSocket, clean == "/run/docker.sock", clean == p.socket:
		return p.socket, nil
	case isBelow(clean, append([]string{p.volumes}, guestsOwn...)...):
		return path, nil
	}
	resolved, _, err := p.resolve(clean)
	if err != nil {
		return "", &guest.NotVisibleError{Host: path, Reason: hint.PathCause(err).Error(), Fix: "check the spelling of the path"}
	}
	home := p.outside.Home
	switch {
	case isBelow(clean, home), isBelow(resolved, home):
		return "", guest.Kept(path, home)
	case isBelow(resolved, p.outside.Shares...):
		return path, nil
	}
	return "", guest.Unshared(path, clean, p.outside.Layout().Settings())
}

// isBelow reports whether a clean path is one of directories or in one.
func isBelow(path string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
	})
}

// nameSocket makes the socket of Docker's API known in a virtual machine by the names that clients have for it: the usual one, and the one on
// their own host.
func (k *docker) nameSocket() error {
	if k.spec.GuestSocket == "" {
		return nil
	}
	socket := k.spec.Layout.DockerSocket()
	err := linkSocket(usualDockerSocket, socket)
	if there := k.spec.Outside; there.Home != "" {
		name := there.Layout().DockerSocket()
		if isBelow(there.Home, there.Shares...) {
			err = errors.Join(err, coverWithLink(name, socket))
		} else {
			err = errors.Join(err, linkSocket(name, socket))
		}
	}
	return err
}

// linkSocket leaves alone what is there.
func linkSocket(name, socket string) error {
	if to, err := os.Readlink(name); err == nil && to == socket {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("naming Docker's socket: %w", err)
	}
	if err := os.Symlink(socket, name); err != nil {
		return fmt.Errorf("naming Docker's socket: %w", err)
	}
	return nil
}

// coverWithLink makes a link in a directory that is shared, by a file system of its own upon it: nothing is written to what is the host's. The
// directory is linnet's home, of which the machine sees nothing anyway.
func coverWithLink(name, socket string) error {
	if to, err := os.Readlink(name); err == nil && to == socket {
		return nil // an earlier agent's
	}
	dir := filepath.Dir(name)
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("linnet-hidden", dir, "tmpfs", flags, "mode=0555,size=4k,nr_inodes=3"); err != nil {
		return fmt.Errorf("covering %s: %w", dir, err)
	}
	err := linkSocket(name, socket)
	if again := unix.Mount("", dir, "", flags|unix.MS_REMOUNT|unix.MS_RDONLY, ""); again != nil {
		err = errors.Join(err, fmt.Errorf("covering %s: %w", dir, again))
	}
	return err
}
