package lima

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"

	"github.com/linnet-dev/linnet/config"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// minimumLima is the oldest limactl that this code has been tried with.
const minimumLima = "2.2.0"

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// shape sums a choice up.
func (c choice) shape() vm.Shape {
	s := vm.Shape{
		Image: c.image.Key, Arch: c.arch, Type: c.kind,
		CPUs: c.CPUs, Memory: c.Memory / mib * mib, Mounts: []string{},
		MountType: c.mountType, Accelerator: c.accelerator, Rosetta: c.rosetta,
	}
	for _, m := range c.mounts {
		s.Mounts = append(s.Mounts, m.String())
		s.Viewed = s.Viewed || m.view != ""
	}
	if len(c.engine) > 0 {
		sum := sha256.Sum256(c.engine)
		s.Engine = hex.EncodeToString(sum[:8])
	}
	return s
}

// emulatedCPU is the model of a CPU that is emulated: one that distributions still build for,
// and not the newest, which would be emulated too, slowly.
var emulatedCPU = map[string]string{amd64: "Nehalem", arm64: "max,pauth-impdef=on"}

// render writes the machine's configuration.
func (c choice) render() (vm.Spec, error) {
	spec := vm.Spec{Shape: c.shape(), DataDisk: (c.Disk + mib - 1) / mib * mib}
	tmpl, err := template.New("lima.yaml").Funcs(template.FuncMap{
		"json": quote, "nohostkey": func() string { return noHostKey }, "hostkeypath": func() string { return GuestHostKey },
		"hiddenpath": func() string { return GuestHidden },
		"text":       func(s string) (string, error) { return quote(strings.ReplaceAll(s, "{{", `{{"{{"}}`)) },
	}).Parse(config.LimaYAML)
	if err != nil {
		return spec, fmt.Errorf("rendering the virtual machine's configuration: %w", err)
	}
	image := c.image
	if c.accelerator == "tcg" {
		image.Cmdline = image.Emulated
	}
	if c.kind == vz {
		image.Kernel = image.Packed
	}
	var text strings.Builder
	err = tmpl.Execute(&text, struct {
		Header, MinimumLima, Instance string
		Type, Arch, MountType         string
		CPUType, Memory, Engine       string
		Image                         Image
		CPUs                          int
		Rosetta                       bool
		Mounts                        []Mount
		Hidden                        string
	}{
		Header: spec.Header(), MinimumLima: minimumLima, Instance: cmp.Or(c.machine, host.DefaultInstance),
		Type: c.kind, Arch: c.arch, MountType: c.mountType,
		CPUType: c.cpuType(), Memory: fmt.Sprintf("%dMiB", spec.Memory/mib), Engine: string(c.engine),
		Image: image, CPUs: c.CPUs, Rosetta: c.rosetta, Mounts: c.mounts,
		Hidden: strings.Join(c.hidden, "\n"),
	})
	if err != nil {
		return spec, fmt.Errorf("rendering the virtual machine's configuration: %w", err)
	}
	spec.Config = text.String()
	return spec, nil
}

// cpuType is the CPU's model where it is not QEMU's or the host's own choice.
func (c choice) cpuType() string {
	if c.accelerator == "tcg" {
		return emulatedCPU[c.arch]
	}
	return ""
}

// quote writes a text as JSON, which YAML reads.
func quote(s string) (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

// emulation is the variable that makes Lima's QEMU emulate: Lima itself takes KVM wherever
// there is a device for it.
func emulation(arch string) string {
	machine := "q35,vmport=off"
	if arch == arm64 {
		machine = "virt"
	}
	return fmt.Sprintf("QEMU_SYSTEM_%s=qemu-system-%s -machine %s -accel tcg,thread=multi,tb-size=1024", strings.ToUpper(arch), arch, machine)
}
