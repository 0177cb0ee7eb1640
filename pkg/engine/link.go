//go:build linux

package engine

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
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
