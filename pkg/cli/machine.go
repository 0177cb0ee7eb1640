package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima"
	"github.com/linnet-dev/linnet/pkg/relay"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// machine is the engine in a virtual machine.
func (a *app) machine(l host.Layout, s *settings.Settings, program string) *lima.Guest {
	return lima.NewGuest(lima.Options{
		Layout: l, Environ: os.Environ(), Facts: lima.HostFacts(), Report: a.Report(),
		Wanted: lima.Wanted{
			CPUs: int(s.VM.CPUs), Memory: int64(s.VM.Memory), Disk: int64(s.VM.Disk), Mounts: s.VM.Mounts,
			MountType: s.VM.MountType.String(), Accelerator: s.VM.Accelerator.String(), Rosetta: s.VM.Rosetta.String(),
		},
		Ports:    relay.PortRules{Max: int(s.VM.Ports.Max), Lowest: uint16(s.VM.Ports.Lowest), Widest: s.VM.Ports.Address.Addr}, //nolint:gosec // checked
		SSHAgent: s.VM.ForwardAgent == settings.ToggleOn,
		Docker:   s.Docker.Socket == settings.On,
		Warn:     func(text string) { fmt.Fprintln(a.Report().Writer(), "warning:", text) },
		Engine:   func(shares []lima.Mount) ([]byte, error) { return json.Marshal(guestSpec(l, s, shares)) },
		Image:    openImages(l, s).source,
	}, program)
}

// guestSpec is what the settings mean to the agent in a virtual machine: its places are over
// there. It is told what it has of this host, whose layout is l.
func guestSpec(l host.Layout, s *settings.Settings, shares []lima.Mount) agent.Spec {
	spec := engineSpec(lima.GuestLayout(), s)
	spec.GuestSocket = lima.AgentSocket
	spec.Outside.Home = l.Home
	for _, m := range shares {
		spec.Outside.Shares = append(spec.Outside.Shares, m.Path)
	}
	return spec
}
