//go:build linux

package engine

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// removeInterface deletes a network interface; one that is not there is no error.
func removeInterface(name string) error {
	link, err := netlink.LinkByName(name)
	var absent netlink.LinkNotFoundError
	if errors.As(err, &absent) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("removing the interface %s: %w", name, err)
	}
	return nil
}

// isNoDevice reports whether an interface went before it was deleted.
func isNoDevice(err error) bool { return errors.Is(err, unix.ENODEV) }
