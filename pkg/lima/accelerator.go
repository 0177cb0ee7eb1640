package lima

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// kvmDevice is there where the kernel offers KVM.
const kvmDevice = "/dev/kvm"

// tried is what was found out about KVM, and on what it depends.
type tried struct {
	Kernel string `json:"kernel"`
	QEMU   string `json:"qemu"`
	Image  string `json:"image"`
	// Device is how the device is: "there", "absent", "denied".
	Device string `json:"device"`

	Accelerator string `json:"accelerator"`
	// Why says what was wrong, empty when nothing was.
	Why string `json:"why,omitempty"`
}

// same reports whether what was found out still holds.
func (t tried) same(now tried) bool {
	return t.Accelerator != "" && t.Kernel == now.Kernel && t.QEMU == now.QEMU && t.Image == now.Image && t.Device == now.Device
}

// accelerator chooses between KVM and emulation. A device node promises nothing: under many
// a hypervisor it is there and a guest hangs. So a guest's kernel is booted, once, and what
// came of it is remembered until the host's kernel, QEMU or the image are others. The user is
// warned once, too.
func (m *Machine) accelerator(ctx context.Context, c choice) string {
	now := tried{Kernel: m.o.Facts.Kernel, Image: c.image.Key, Device: device(m.kvm)}
	program := "qemu-system-" + c.arch
	if m.o.Facts.Root {
		return "kvm" // nothing will be started here either
	}
	now.QEMU = m.version(ctx, program)
	if now.QEMU == "" || now.Image == "" {
		return "kvm" // nothing will be started: Observe says why
	}
	path := m.o.Layout.Accelerator()
	var before tried
	if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &before) == nil && before.same(now) {
		return before.Accelerator
	}
	now.Accelerator = "kvm"
	if now.Why = noDevice(now.Device); now.Why == "" {
		step := m.o.Report.Step("trying KVM")
		now.Why = m.tryKVM(ctx, program, c)
		step.Done()
	}
	if ctx.Err() != nil {
		return "tcg" // and nothing is remembered
	}
	if now.Why != "" {
		now.Accelerator = "tcg"
		m.warn(fmt.Sprintf("the virtual machine is emulated, which is slow: %s; %s", now.Why, deviceHint(now.Device)))
	}
	if text, err := json.MarshalIndent(now, "", "  "); err == nil && os.MkdirAll(filepath.Dir(path), 0o700) == nil {
		_ = host.WriteFile(path, append(text, '\n'), 0o600) // found out again next time
	}
	return now.Accelerator
}

// deviceHint is what can be done about KVM.
func deviceHint(device string) string {
	switch device {
	case "absent":
		return "enable virtualization in the firmware, or nested virtualization where this host is a guest itself"
	case "denied":
		return "users in the device's group, usually kvm, may: `sudo usermod -aG kvm $USER`, and a new login"
	}
	return "set vm.accelerator to kvm to take it all the same, or to tcg to hear no more of it"
}

// noDevice says why the device is of no use; empty when it may be of some.
func noDevice(device string) string {
	switch device {
	case "absent":
		return "this host has no " + kvmDevice
	case "denied":
		return "you may not use " + kvmDevice
	}
	return ""
}

// device reports whether a device can be used.
func device(path string) string {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
		return "there"
	case errors.Is(err, fs.ErrPermission):
		return "denied"
	}
	return "absent"
}

// version is the first line of what a program says of its version, empty when it cannot be run.
func (m *Machine) version(ctx context.Context, program string) string {
	var out bytes.Buffer
	code, err := host.Run(ctx, host.Command{Argv: []string{program, "--version"}, Env: m.env(""), Dir: "/", Stdout: &out})
	if err != nil || code != 0 {
		return ""
	}
	line, _, _ := strings.Cut(out.String(), "\n")
	return strings.TrimSpace(line)
}

// kvmPatience is how long a kernel may take to come to its end under KVM; it takes one second
// on plain hardware.
const kvmPatience = 10 * time.Second

// tryKVM boots the image's kernel with nothing to go on from: it has worked when the kernel
// gets as far as to miss its root, and ends. It returns why KVM does not do, empty when it does.
func (m *Machine) tryKVM(ctx context.Context, program string, c choice) string {
	limited, cancel := context.WithTimeout(ctx, kvmPatience)
	defer cancel()
	machine, console := "q35", "ttyS0"
	if c.arch == arm64 {
		machine, console = "virt", "ttyAMA0"
	}
	var said bytes.Buffer
	code, err := host.Run(limited, host.Command{
		Argv: []string{
			program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
			"-machine", machine + ",accel=kvm", "-cpu", "host", "-m", "256",
			"-kernel", c.image.Kernel, "-append", "console=" + console + " panic=-1",
		},
		Env: m.env(""), Dir: "/", Stdout: &said, Stderr: &said, Grace: time.Second,
	})
	return verdict(said.String(), code, err)
}

// verdict reads what a kernel, or QEMU, has written.
func verdict(said string, code int, err error) string {
	booted := strings.Contains(said, "Linux version")
	ended := strings.Contains(said, "Kernel panic")
	switch {
	case booted && ended:
		return ""
	case errors.Is(err, context.DeadlineExceeded) && !booted:
		return fmt.Sprintf("under KVM a guest's kernel says nothing for %s", kvmPatience)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("under KVM a guest's kernel does not boot within %s", kvmPatience)
	}
	last := ""
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return fmt.Sprintf("QEMU with KVM ends with code %d: %s", code, last)
}
