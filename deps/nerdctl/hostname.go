package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// hostName is the name that containers know the host by, as with Docker Desktop.
const hostName = "host.docker.internal"

// addHostName gives a container that is made the host's name, as if --add-host host.docker.internal:host-gateway had been typed.
// Compose makes its containers with this program, so that its services have it, too. gateway is what host-gateway means; without
// one there is no name. Nor is there one where the container has no network of its own, or where the line says what the name means.
func addHostName(cmd *cobra.Command, gateway string) error {
	flags := cmd.Flags()
	if name := cmd.Name(); gateway == "" || name != "run" && name != "create" || flags.Lookup("add-host") == nil || flags.Lookup("network") == nil {
		return nil
	}
	hosts, err := flags.GetStringSlice("add-host")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(hosts, namesHost) {
		return nil
	}
	for _, flag := range []string{"network", "net"} {
		networks, err := flags.GetStringSlice(flag)
		if err == nil && slices.ContainsFunc(networks, hasNoBridge) {
			return nil
		}
	}
	if err := flags.Set("add-host", hostName+":host-gateway"); err != nil {
		return fmt.Errorf("naming the host: %w", err)
	}
	return nil
}

// namesHost reports whether a value of --add-host says what the host's name means.
func namesHost(value string) bool {
	name, _, _ := strings.Cut(value, ":")
	return strings.EqualFold(name, hostName)
}

// hasNoBridge reports whether a value of --network gives a container no network of its own.
func hasNoBridge(network string) bool {
	return network == "none" || network == "host" || strings.HasPrefix(network, "container:") || strings.HasPrefix(network, "ns:")
}
