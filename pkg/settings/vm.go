package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// Mounts is a list of the host's directories: a path from / or ~ on, and behind it ":ro" for
// read-only, or ":off" for the home directory itself not to be there.
type Mounts []string

func (m *Mounts) kind() string       { return "a list" }
func (m *Mounts) items() []string    { return *m }
func (m *Mounts) put(items []string) { *m = items }
func (m *Mounts) item(text string) *fault {
	dir, mode, _ := strings.Cut(text, ":")
	inHome := dir == "~" || strings.HasPrefix(dir, "~/")
	switch {
	case !inHome && !path.IsAbs(dir):
		f := &fault{fmt.Sprintf("%q is not a directory from / or ~ on", text), `write it like "/data", "/data:ro" or "~/work"`}
		if rest, ok := strings.CutPrefix(dir, "$HOME"); ok {
			f.hint = fmt.Sprintf("try %q", "~"+rest+text[len(dir):])
		}
		return f
	case strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' }):
		return &fault{text: fmt.Sprintf("%q is not a directory", text)}
	case path.Clean(dir) == "/":
		return &fault{fmt.Sprintf("%q is everything that this host has", text), "name the directories that containers need"}
	}
	switch mode {
	case "", "ro", "rw":
		return nil
	case "off":
		if path.Clean(dir) == "~" {
			return nil
		}
		return &fault{fmt.Sprintf("%q: only the home directory is there without being asked for", text), "remove the item"}
	}
	f := &fault{fmt.Sprintf("%q: %q is not one of ro, rw, off", text, mode), ""}
	if path.IsAbs(mode) {
		f.hint = fmt.Sprintf("a directory has the same path on both sides: try %q", dir)
	}
	return f
}

// Image names the image that a virtual machine is made from: a path from / or ~ on, a URL, each with "#sha256:" and its digest
// behind it or without, or a digest alone; empty for the client's own.
type Image string

func (i *Image) kind() string { return "text" }

// String is the text as it stands in the file.
func (i Image) String() string { return string(i) }

func (i *Image) set(text string) *fault {
	place, digest, named := strings.Cut(text, "#")
	if strings.HasPrefix(text, "sha256:") {
		place, digest, named = "/", text, true
	}
	u, err := url.Parse(place)
	isURL := err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
	switch {
	case text == "":
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }):
		return &fault{text: fmt.Sprintf("%q is not an image", text)}
	case named && !isDigest(digest):
		return &fault{fmt.Sprintf("%q is not a digest", digest), "write it as sha256: and 64 hexadecimal digits"}
	case isURL && u.Scheme == "http" && !isLoopback(u.Hostname()):
		return &fault{fmt.Sprintf("%q is not reached over https", place), "use https; http is for this very host alone (127.0.0.1)"}
	case isURL || path.IsAbs(place) || strings.HasPrefix(place, "~/"):
	default:
		return &fault{fmt.Sprintf("%q is not an image", text), `write it like "/srv/guest.tar.zst" or "https://example.com/guest.tar.zst#sha256:..."`}
	}
	*i = Image(text)
	return nil
}

func isLoopback(name string) bool {
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && addr.IsLoopback()
}

func isDigest(text string) bool {
	digits, ok := strings.CutPrefix(text, "sha256:")
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// MountType is how the host's directories get into the virtual machine.
type MountType string

// The mount types. MountAuto is Virtiofs on macOS and NineP elsewhere.
const (
	MountAuto     MountType = "auto"
	MountVirtiofs MountType = "virtiofs"
	MountNineP    MountType = "9p"
	MountSSHFS    MountType = "reverse-sshfs"
)

func (m *MountType) kind() string { return "text" }

// String is the text as it stands in the file.
func (m MountType) String() string { return string(m) }

func (m *MountType) set(text string) *fault {
	return oneOf(m, text, MountAuto, MountVirtiofs, MountNineP, MountSSHFS)
}

// Accelerator is what runs a virtual machine's instructions.
type Accelerator string

// The accelerators. AcceleratorAuto is VZ on macOS; elsewhere KVM, or TCG where KVM does not
// really run a guest.
const (
	AcceleratorAuto Accelerator = "auto"
	AcceleratorKVM  Accelerator = "kvm"
	AcceleratorTCG  Accelerator = "tcg"
	AcceleratorVZ   Accelerator = "vz"
)

func (a *Accelerator) kind() string { return "text" }

// String is the text as it stands in the file.
func (a Accelerator) String() string { return string(a) }

func (a *Accelerator) set(text string) *fault {
	return oneOf(a, text, AcceleratorAuto, AcceleratorKVM, AcceleratorTCG, AcceleratorVZ)
}

// Switch is on, off, or what suits the host.
type Switch string

// The positions of a switch.
const (
	SwitchAuto Switch = "auto"
	SwitchOn   Switch = "on"
	SwitchOff  Switch = "off"
)

func (s *Switch) kind() string { return "text" }

// String is the text as it stands in the file.
func (s Switch) String() string { return string(s) }

func (s *Switch) set(text string) *fault { return oneOf(s, text, SwitchAuto, SwitchOn, SwitchOff) }

// Toggle is on or off.
type Toggle string

// The positions of a toggle.
const (
	ToggleOn  Toggle = "on"
	ToggleOff Toggle = "off"
)

func (t *Toggle) kind() string { return "text" }

// String is the text as it stands in the file.
func (t Toggle) String() string { return string(t) }

func (t *Toggle) set(text string) *fault { return oneOf(t, text, ToggleOn, ToggleOff) }
