package doctor

import (
	"strconv"
	"strings"
)

// machineChecks are about the virtual machine.
func machineChecks() []Check {
	return []Check{
		{
			ID: "vm", Title: "virtual machine", judge: judgeVM,
			Looks: "the programs that it needs, its image, its memory, its state, and that its relay reaches it",
			Why:   "containers run in it",
		},
		{
			ID: "accelerator", Title: "accelerator", judge: judgeAccelerator,
			Looks: "/dev/kvm and what came of trying it, or the version of macOS",
			Why:   "without one the machine is emulated, which takes ten times as long",
		},
	}
}

func judgeVM(f *Facts) (found []Finding) {
	if f.Backend != "lima" {
		return nil
	}
	for _, p := range f.VM.Tools {
		found = append(found, failed(p.Fix, "%s", p.Text))
	}
	if !f.VM.Image && f.VM.ImageFrom == "" && (f.VM.State == "absent" || f.VM.State == "") {
		found = append(found, failed("linnet vm image import FILE, or make image", "there is no image to make it from"))
	}
	if f.System.Memory > 0 && f.VM.Memory > f.System.Memory*3/4 {
		found = append(found, warning("set vm.memory to less, and linnet vm restart", "vm.memory is %s, and this host has %s", bytes(f.VM.Memory), bytes(f.System.Memory)))
	}
	switch {
	case f.VM.State == "hollow":
		found = append(found, failed("linnet vm restart", "its host agent runs, and the machine has ended"))
	case f.VM.State == "running" && f.VM.Relay != "":
		fix := f.VM.RelayFix
		if fix == "" {
			fix = "linnet vm logs relay says more; linnet vm restart"
		}
		found = append(found, failed(fix, "it runs, and is not reached: %s", f.VM.Relay))
	case f.VM.State == "absent" && !f.VM.Image && f.VM.ImageFrom != "":
		return orOK(found, "it is not made yet; its image will be fetched from %s", f.VM.ImageFrom)
	case f.VM.State == "absent":
		return orOK(found, "it is not made yet; the first command makes it")
	}
	return orOK(found, "it is %s, with %s of memory", f.VM.State, bytes(f.VM.Memory))
}

func judgeAccelerator(f *Facts) []Finding {
	if f.Backend != "lima" {
		return nil
	}
	if f.OS == "darwin" {
		if major, err := strconv.Atoi(strings.SplitN(f.VM.OSVersion, ".", 2)[0]); err == nil && major < 13 {
			return []Finding{failed("update macOS", "macOS %s has no vz as it is needed: that takes 13", f.VM.OSVersion)}
		}
		return []Finding{ok("vz, of macOS %s", f.VM.OSVersion)}
	}
	v := f.VM
	judge := warning // with auto the machine is emulated instead
	if v.Accelerator == "kvm" {
		judge = failed
	}
	switch {
	case v.Accelerator == "tcg":
		return []Finding{ok("none is wanted: vm.accelerator is tcg")}
	case v.Device == "absent":
		return []Finding{judge("enable virtualization in the firmware, or nested virtualization where this host is a guest itself", "this host has no /dev/kvm")}
	case v.Device == "denied":
		return []Finding{judge("sudo usermod -aG kvm "+f.User+", and a new login", "you may not use /dev/kvm")}
	case v.Emulated != "":
		return []Finding{judge("enable nested virtualization where this host is a guest itself; set vm.accelerator to kvm to take it all the same, or to tcg to hear no more of it", "/dev/kvm is there and does not work: %s", v.Emulated)}
	}
	return []Finding{ok("KVM")}
}
