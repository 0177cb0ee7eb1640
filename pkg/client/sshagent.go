package client

import (
	"os"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// sshAgentPath is where Docker Desktop has the user's SSH agent for bind mounts. It is a name: no host has a file there.
const sshAgentPath = "/run/host-services/ssh-auth.sock"

// visible says where a path of the host is in the guest. The name of the SSH agent means the socket that SSH_AUTH_SOCK names.
func (c *Client) visible(path string) (guest.Visible, error) {
	if path != sshAgentPath || exists(path) {
		return c.Guest.Path(path)
	}
	refuse := func(reason, fix string) (guest.Visible, error) {
		return guest.Visible{}, &guest.NotVisibleError{Host: path, Reason: reason, Fix: fix}
	}
	if c.Guest.Capabilities().Machine { // it knows whether it has one
		return c.Guest.Path(path)
	}
	socket, _ := lookupEnv(c.Environ, "SSH_AUTH_SOCK")
	if socket == "" {
		return refuse("there is no SSH agent: SSH_AUTH_SOCK is not set", "start one: eval $(ssh-agent); ssh-add")
	}
	if !exists(socket) {
		return refuse("there is no SSH agent at "+socket+", which SSH_AUTH_SOCK names", "start one: eval $(ssh-agent); ssh-add")
	}
	return c.Guest.Path(socket)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
