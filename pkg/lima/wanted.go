package lima

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// auto is the value of a setting that leaves the choice to linnet.
const auto = "auto"

// Wanted is the settings' section vm, in its own words.
type Wanted struct {
	CPUs int
	// Memory and Disk are in bytes; Disk is the data disk.
	Memory, Disk int64
	// Mounts are directories from / or ~ on, with ":ro", ":rw" or ":off" behind.
	Mounts []string
	// MountType is auto, virtiofs, 9p or reverse-sshfs; Accelerator auto, kvm, tcg or vz;
	// Rosetta auto, on or off.
	MountType, Accelerator, Rosetta string
}

// Mount is a directory of the host that is at the same path in the machine.
type Mount struct {
	Path     string
	ReadOnly bool
	// view is where the machine's processes see it, when that is elsewhere.
	view string
}

// Location is the path that is shared with the machine.
func (m Mount) Location() string {
	if m.view != "" {
		return m.view
	}
	return m.Path
}

// String is the mount as it stands in settings and in a machine's shape.
func (m Mount) String() string {
	if m.ReadOnly {
		return m.Path + ":ro"
	}
	return m.Path
}

// ParseMount is its reverse.
func ParseMount(text string) Mount {
	path, readOnly := strings.CutSuffix(text, ":ro")
	return Mount{Path: path, ReadOnly: readOnly}
}

// choice is what is wanted with every auto decided, but for the accelerator.
type choice struct {
	Wanted
	arch, kind             string
	accelerator, mountType string
	rosetta                bool
	mounts                 []Mount
	hidden                 []string
	image                  Image
	engine                 []byte
	machine                string // its name; "" is the usual one
}

// The kinds of machine.
const (
	qemu = "qemu"
	vz   = "vz"
)

// choose decides what the settings leave to the host.
func (w Wanted) choose(f Facts) (c choice, err error) {
	c = choice{Wanted: w, kind: qemu, accelerator: w.Accelerator, mountType: w.MountType, mounts: w.mounts(f.Home)}
	if c.arch, err = f.arch(); err != nil {
		return c, err
	}
	switch {
	case f.Foreign && w.Accelerator == auto:
		c.accelerator = "tcg"
	case f.OS == "darwin" && !f.Foreign && (w.Accelerator == auto || w.Accelerator == vz):
		c.kind, c.accelerator = vz, vz
	}
	if c.mountType == auto {
		c.mountType = "9p"
		if c.kind == vz {
			c.mountType = "virtiofs"
		}
	}
	c.rosetta = w.Rosetta == "on" || w.Rosetta == auto && c.kind == vz && c.arch == arm64 && f.Rosetta
	return c, c.fits(f)
}

// fits says which setting makes no sense here.
func (c choice) fits(f Facts) error {
	refuse := func(key, value, why, fix string) error {
		return &hint.Error{Err: fmt.Errorf("configuring the virtual machine: %s: %q %s", key, value, why), Fix: fix}
	}
	switch {
	case c.Accelerator == "kvm" && f.OS != "linux":
		return refuse("vm.accelerator", c.Accelerator, "is Linux's", "set it to auto")
	case f.Foreign && c.Accelerator != auto && c.Accelerator != "tcg":
		return refuse("vm.accelerator", c.Accelerator, "does not run "+c.arch+" on this host", "set it to auto")
	case c.Accelerator == vz && f.OS != "darwin":
		return refuse("vm.accelerator", c.Accelerator, "is macOS's", "set it to auto")
	case c.mountType == "9p" && c.kind == vz:
		return refuse("vm.mountType", c.mountType, "does not work with vz", "set it to auto")
	case c.mountType == "virtiofs" && c.kind == qemu && f.OS == "darwin":
		return refuse("vm.mountType", c.mountType, "does not work with tcg on macOS", "set it to auto")
	case c.rosetta && (c.kind != vz || c.arch != arm64):
		return refuse("vm.rosetta", "on", "needs a Mac with Apple silicon and vm.accelerator vz", "set it to auto")
	case c.rosetta && !f.Rosetta:
		return refuse("vm.rosetta", "on", "needs Rosetta, which is not installed", "run: softwareupdate --install-rosetta")
	case c.mountType == "9p" && slices.ContainsFunc(c.mounts, unsafeFor9p):
		i := slices.IndexFunc(c.mounts, unsafeFor9p)
		return refuse("vm.mounts", c.mounts[i].Path, "cannot be shared by 9p: a comma or {{ is in it", "set vm.mountType to reverse-sshfs")
	case f.CPUs > 0 && c.CPUs > f.CPUs:
		return refuse("vm.cpus", fmt.Sprint(c.CPUs), fmt.Sprintf("is more than this host has (%d)", f.CPUs), fmt.Sprintf("set it to %d at most", f.CPUs))
	}
	return nil
}

// unsafeFor9p reports whether a path means something to QEMU, or to how Lima starts it.
func unsafeFor9p(m Mount) bool {
	return strings.Contains(m.Path, ",") || strings.Contains(m.Path, "{{")
}

// mounts are the directories that the settings name, the home directory first. One that is named
// twice is as it is named last.
func (w Wanted) mounts(home string) []Mount {
	all := []Mount{{Path: filepath.Clean(home)}}
	for _, text := range w.Mounts {
		dir, mode, _ := strings.Cut(text, ":")
		if rest, ok := strings.CutPrefix(dir, "~"); ok {
			dir = home + rest
		}
		mount := Mount{Path: filepath.Clean(dir), ReadOnly: mode == "ro"}
		i := slices.IndexFunc(all, func(m Mount) bool { return m.Path == mount.Path })
		switch {
		case mode == "off" && i >= 0:
			all = slices.Delete(all, i, i+1)
		case mode == "off":
		case i >= 0:
			all[i] = mount
		default:
			all = append(all, mount)
		}
	}
	return all
}
