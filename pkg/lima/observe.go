package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// instance is what limactl lists of a machine. Which processes there are it tells too, and does
// not see that one has ended while its parent has not noticed.
type instance struct {
	Name string `json:"name"`
	// Status is empty when limactl cannot read the configuration.
	Status string `json:"status"`
}

// disk is what limactl lists of a data disk.
type disk struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Instance string `json:"instance"`
}

// Observe says what there is.
func (m *Machine) Observe(ctx context.Context) (s vm.State, err error) {
	l := m.o.Layout
	if s.Tool, err = m.tool(ctx); err != nil {
		return s, err
	}
	if err := m.observeInstance(ctx, &s); err != nil {
		return s, fmt.Errorf("looking at the virtual machine: %w", m.withHint(err, ""))
	}
	if err := m.observeDisk(ctx, &s); err != nil {
		return s, fmt.Errorf("looking at the data disk: %w", m.withHint(err, ""))
	}
	if s.Status != vm.Absent {
		s.Answers = m.Answers(ctx)
	}
	for _, name := range []string{"agent", "relay"} {
		if path := l.VMSocket(name); exists(path) && !host.Listens(path) {
			s.Leftovers = append(s.Leftovers, path)
		}
	}
	s.Files = hasFiles(l)
	s.Host = m.lacks()
	s.Image, s.ImageFrom = m.noImage(ctx)
	return s, nil
}

func (m *Machine) observeInstance(ctx context.Context, s *vm.State) error {
	l := m.o.Layout
	if !exists(l.LimaInstance()) {
		s.Status = vm.Absent
		return nil
	}
	listed := &instance{Status: "unknown"}
	if s.Tool == nil {
		out, err := m.limactl(ctx, "list", "--json")
		if err != nil {
			return err
		}
		all, err := lines[instance](out)
		if err != nil {
			return fmt.Errorf("reading limactl list: %w", err)
		}
		listed = named(all, m.o.Layout.Machine(), func(i instance) string { return i.Name })
	}
	text, err := os.ReadFile(filepath.Join(l.LimaInstance(), "lima.yaml"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	shape, whole := vm.ParseShape(string(text))
	processes := Processes(l)
	if !whole || listed == nil || listed.Status == "" {
		s.Status, s.Live = vm.Incomplete, processes.Any()
		return nil
	}
	s.Shape, s.Config = shape, withoutHostKey(string(text))
	switch {
	case processes.Starting:
		s.Status = vm.Starting
	case processes.HostAgent && processes.Driver:
		s.Status = vm.Running
	case processes.Driver:
		s.Status = vm.Orphaned
	case processes.HostAgent:
		s.Status = vm.HostAgentOnly
	default:
		s.Status = vm.Halted
	}
	return nil
}

func (m *Machine) observeDisk(ctx context.Context, s *vm.State) error {
	dir := m.o.Layout.LimaDisk()
	if !exists(dir) {
		s.Disk = vm.NoDisk
		return nil
	}
	if !exists(filepath.Join(dir, "datadisk")) {
		s.Disk = vm.TornDisk
		return nil
	}
	s.Disk = vm.Disk
	if usable := s.Tool == nil; !usable {
		return nil // nothing will be done anyway
	}
	out, log, err := m.run(ctx, "disk", "list", "--json")
	if err != nil {
		return err
	}
	all, err := lines[disk](out)
	if err != nil {
		return fmt.Errorf("reading limactl disk list: %w", err)
	}
	listed := named(all, m.o.Layout.Machine(), func(d disk) string { return d.Name })
	if listed == nil {
		s.Disk, s.DiskError = vm.BrokenDisk, warnings(log)
		return nil
	}
	s.DiskSize, s.DiskUser = listed.Size, listed.Instance
	return nil
}

// programs are what Lima itself runs, and the packages that have them.
var programs = map[string][]string{
	qemu + amd64: {"qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen"},
	qemu + arm64: {"qemu-system-aarch64", "qemu-img", "ssh", "ssh-keygen"},
	vz + amd64:   {"ssh", "ssh-keygen"},
	vz + arm64:   {"ssh", "ssh-keygen"},
}

var packages = map[string]string{
	"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm and qemu-efi-aarch64", "qemu-img": "qemu-utils",
	"ssh": "openssh-client", "ssh-keygen": "openssh-client",
}

// lacks says which program that Lima runs is missing here.
func (m *Machine) lacks() *vm.Refusal {
	c, _ := m.o.Wanted.choose(m.o.Facts) // Want says what does not fit
	var missing, from []string
	for _, name := range programs[c.kind+c.arch] {
		if _, err := host.LookPath(name, m.env("")); err != nil {
			missing = append(missing, name)
			if p := packages[name]; len(from) == 0 || from[len(from)-1] != p {
				from = append(from, p)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fix := "install " + strings.Join(from, ", ") + " (as Debian calls them), or put them into PATH"
	if m.o.Facts.OS == "darwin" {
		fix = "install qemu, for example with Homebrew, or set vm.accelerator to auto"
	}
	return &vm.Refusal{Reason: "a virtual machine needs what this host does not have: " + strings.Join(missing, ", "), Fix: fix}
}

// noImage says why no machine can be made, or where the image is that has to be fetched before.
func (m *Machine) noImage(ctx context.Context) (refused *vm.Refusal, from string) {
	source, err := m.source(ctx)
	if err != nil {
		return &vm.Refusal{Reason: "there is no image to make a virtual machine from: " + err.Error(), Fix: hint.Of(err)}, ""
	}
	arch, _ := m.o.Facts.arch() // of which source has found the image
	switch image, err := source.read(); {
	case errors.Is(err, fs.ErrNotExist):
		return &vm.Refusal{
			Reason: "there is no image to make a virtual machine from: " + source.Dir,
			Fix:    "install linnet's image (`make image` in its sources), or set LINNET_LIBEXEC to the directory of its components",
		}, ""
	case err != nil:
		return &vm.Refusal{Reason: err.Error(), Fix: "install linnet's image again (`make image` in its sources)"}, ""
	case image.Arch != "" && image.Arch != arch:
		return &vm.Refusal{
			Reason: fmt.Sprintf("the image in %s is for %s, and this host is %s", source.Dir, image.Arch, arch),
			Fix:    "set vm.image to one for this host",
		}, ""
	}
	return nil, source.From
}

// hasFiles reports whether there is something around the machine that goes with the data.
func hasFiles(l host.Layout) bool {
	if exists(l.LimaHome()) {
		return true
	}
	found := false
	_ = filepath.WalkDir(l.VM(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != l.VMLock("start") {
			found = true
		}
		return nil
	})
	return found
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// named returns the one with a name.
func named[T any](all []T, wanted string, name func(T) string) *T {
	for i := range all {
		if name(all[i]) == wanted {
			return &all[i]
		}
	}
	return nil
}

// lines reads one JSON value a line.
func lines[T any](text string) (all []T, err error) {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var one T
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}
