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
		Warn:     func(text string) { fmt.Fprintln(a.Report().Writer(), "warning:", text) },
		Engine:   func() ([]byte, error) { return json.Marshal(guestSpec(s)) },
		Image:    openImages(l, s).source,
	}, program)
}

// guestSpec is what the settings mean to the agent in a virtual machine: its places are over
// there.
func guestSpec(s *settings.Settings) agent.Spec {
	spec := engineSpec(lima.GuestLayout(), s)
	spec.GuestSocket = lima.AgentSocket
	return spec
}
