package lima

import (
	"encoding/json"
	"os"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Diagnosis is how the machine is, as far as files and processes of this host tell in a moment.
type Diagnosis struct {
	// Missing says, with a hint, which programs that Lima runs are missing; nil when none is.
	Missing error
	// Status is Absent, Halted, Starting, Running, Orphaned or HostAgentOnly: limactl is not asked.
	Status vm.Status
	// Emulated is why KVM was found not to work, as it was last tried; empty when it works, or was not tried.
	Emulated string
}

// Diagnose looks at the machine. It asks no program and changes nothing.
func (g *Guest) Diagnose() (d Diagnosis) {
	if r := g.machine.lacks(); r != nil {
		d.Missing = hint.New(r.Reason, r.Fix)
	}
	alive := Processes(g.layout)
	switch {
	case !exists(g.layout.LimaInstance()):
		d.Status = vm.Absent
	case alive.Starting:
		d.Status = vm.Starting
	case alive.Driver && alive.HostAgent:
		d.Status = vm.Running
	case alive.Driver:
		d.Status = vm.Orphaned
	case alive.HostAgent:
		d.Status = vm.HostAgentOnly
	default:
		d.Status = vm.Halted
	}
	var t tried
	if text, err := os.ReadFile(g.layout.Accelerator()); err == nil && json.Unmarshal(text, &t) == nil {
		d.Emulated = t.Why
	}
	return d
}
