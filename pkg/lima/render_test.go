package lima

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// plain is what is wanted where the user set nothing.
var plain = Wanted{CPUs: 4, Memory: 8 * gib, Disk: 100 * gib, MountType: auto, Accelerator: auto, Rosetta: auto}

var (
	mac   = Facts{OS: "darwin", Arch: "arm64", Home: "/Users/ada", User: "ada", CPUs: 8, Rosetta: true}
	intel = Facts{OS: "darwin", Arch: "amd64", Home: "/Users/ada", User: "ada", CPUs: 8, Rosetta: true}
	pc    = Facts{OS: "linux", Arch: "amd64", Home: "/home/ada", User: "ada", CPUs: 8}
	board = Facts{OS: "linux", Arch: "arm64", Home: "/home/ada", User: "ada", CPUs: 4}
)

// variants are the hosts and settings that have a golden file.
func variants() map[string]struct {
	facts       Facts
	wanted      Wanted
	accelerator string
} {
	type variant = struct {
		facts       Facts
		wanted      Wanted
		accelerator string
	}
	rich := Wanted{
		CPUs: 2, Memory: 1500 * 1000 * 1000, Disk: 20 * gib, MountType: "reverse-sshfs", Accelerator: auto, Rosetta: auto,
		Mounts: []string{"~:ro", "/srv/a b\"c", "/srv/{{x}}:ro", "~/work", "/srv/{{x}}/:rw"},
	}
	macTCG, macPlain := plain, plain
	macTCG.Accelerator, macPlain.Rosetta, macPlain.MountType = "tcg", "off", "reverse-sshfs"
	noHome := plain
	noHome.Mounts = []string{"~/:off"}
	return map[string]variant{
		"darwin-arm64":       {mac, plain, ""},
		"darwin-arm64-plain": {mac, macPlain, ""},
		"darwin-arm64-tcg":   {mac, macTCG, ""},
		"darwin-amd64":       {intel, plain, ""},
		"linux-amd64-kvm":    {pc, plain, "kvm"},
		"linux-amd64-tcg":    {pc, plain, "tcg"},
		"linux-amd64-rich":   {pc, rich, "tcg"},
		"linux-amd64-nohome": {pc, noHome, "kvm"},
		"linux-arm64-kvm":    {board, plain, "kvm"},
		"linux-arm64-tcg":    {board, plain, "tcg"},
	}
}

// rendered is a variant's configuration.
func rendered(t *testing.T, facts Facts, wanted Wanted, accelerator string) vm.Spec {
	t.Helper()
	c, err := wanted.choose(facts)
	if err != nil {
		t.Fatal(err)
	}
	if c.accelerator == auto {
		c.accelerator = accelerator
	}
	dir := "/opt/linnet/libexec/linnet/image/" + c.arch
	packed := map[string]string{amd64: dir + "/kernel.packed", arm64: dir + "/kernel"}[c.arch]
	c.image = Image{Key: "0123456789abcdef", Disk: dir + "/disk.raw", Kernel: dir + "/kernel", Packed: packed, Initrd: dir + "/initrd", Cmdline: "console=hvc0 quiet", Emulated: "quiet mitigations=off"}
	c.engine = []byte("{\n  \"hostsDirs\": [\"/etc/{{x}}\"]\n}\n")
	spec, err := c.render()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestEachHostHasItsConfiguration(t *testing.T) {
	for name, v := range variants() {
		t.Run(name, func(t *testing.T) {
			spec := rendered(t, v.facts, v.wanted, v.accelerator)
			golden(t, name+".yaml", spec.Config)
			shape, ok := vm.ParseShape(spec.Config)
			if !ok || shape.Header() != spec.Header() {
				t.Errorf("its shape is read as %+v", shape)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s (%v):\n%s", path, err, got)
	}
}

func TestTheDataDiskIsWholeMebibytes(t *testing.T) {
	w := plain
	w.Disk = 100_000_000_001
	if spec := rendered(t, pc, w, "kvm"); spec.DataDisk%mib != 0 || spec.DataDisk < w.Disk || spec.DataDisk >= w.Disk+mib {
		t.Errorf("of %d it becomes %d", w.Disk, spec.DataDisk)
	}
}

func TestAnotherEngineIsAnotherShape(t *testing.T) {
	c := choice{engine: []byte("{}")}
	if a, b := c.shape().Engine, (choice{engine: []byte("{ }")}).shape().Engine; a == b || a == "" {
		t.Errorf("the engines are %q and %q", a, b)
	}
	if e := (choice{}).shape().Engine; e != "" {
		t.Errorf("none is %q", e)
	}
}

func TestASettingThatDoesNotFitTheHostIsRefused(t *testing.T) {
	type change = func(*Wanted)
	for _, c := range []struct {
		name  string
		facts Facts
		set   change
		want  string
	}{
		{"kvm on macOS", mac, func(w *Wanted) { w.Accelerator = "kvm" }, `vm.accelerator: "kvm" is Linux's; set it to auto`},
		{"vz on Linux", pc, func(w *Wanted) { w.Accelerator = "vz" }, `vm.accelerator: "vz" is macOS's; set it to auto`},
		{"9p with vz", mac, func(w *Wanted) { w.MountType = "9p" }, `vm.mountType: "9p" does not work with vz; set it to auto`},
		{"virtiofs with qemu on macOS", mac, func(w *Wanted) { w.MountType, w.Accelerator = "virtiofs", "tcg" }, `vm.mountType: "virtiofs" does not work with tcg on macOS; set it to auto`},
		{"Rosetta on Linux", pc, func(w *Wanted) { w.Rosetta = "on" }, `vm.rosetta: "on" needs a Mac with Apple silicon and vm.accelerator vz; set it to auto`},
		{"Rosetta on an Intel Mac", intel, func(w *Wanted) { w.Rosetta = "on" }, `vm.rosetta: "on" needs a Mac with Apple silicon and vm.accelerator vz; set it to auto`},
		{"Rosetta that is not installed", Facts{OS: "darwin", Arch: "arm64", Home: "/Users/ada"}, func(w *Wanted) { w.Rosetta = "on" }, `vm.rosetta: "on" needs Rosetta, which is not installed; run: softwareupdate --install-rosetta`},
		{"kvm for another architecture", Facts{OS: "linux", Arch: "arm64", Foreign: true, Home: "/home/ada"}, func(w *Wanted) { w.Accelerator = "kvm" }, `vm.accelerator: "kvm" does not run aarch64 on this host; set it to auto`},
		{"vz for another architecture", Facts{OS: "darwin", Arch: "amd64", Foreign: true, Home: "/Users/ada"}, func(w *Wanted) { w.Accelerator = "vz" }, `vm.accelerator: "vz" does not run x86_64 on this host; set it to auto`},
		{"a comma with 9p", pc, func(w *Wanted) { w.Mounts = []string{"/a,b"} }, `vm.mounts: "/a,b" cannot be shared by 9p: a comma or {{ is in it; set vm.mountType to reverse-sshfs`},
		{"too many CPUs", pc, func(w *Wanted) { w.CPUs = 9 }, `vm.cpus: "9" is more than this host has (8); set it to 8 at most`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := plain
			c.set(&w)
			_, err := w.choose(c.facts)
			if got := told(err); got != "configuring the virtual machine: "+c.want {
				t.Errorf("it is told: %s", got)
			}
		})
	}
	if c, err := plain.choose(Facts{OS: "darwin", Arch: "arm64", Home: "/Users/ada"}); err != nil || c.rosetta {
		t.Errorf("without Rosetta auto is %v, %v", c.rosetta, err)
	}
	for _, system := range []string{"linux", "darwin"} {
		if c, err := plain.choose(Facts{OS: system, Arch: "arm64", Foreign: true, Home: "/h"}); err != nil || c.kind != qemu || c.accelerator != "tcg" || c.arch != arm64 {
			t.Errorf("of another architecture on %s: %s with %s for %s, %v", system, c.kind, c.accelerator, c.arch, err)
		}
	}
	if _, err := plain.choose(Facts{OS: "linux", Arch: "riscv64", Home: "/h"}); err == nil || err.Error() != "choosing an image: there is none for riscv64" {
		t.Errorf("riscv64: %v", err)
	}
}

// told is what a user reads of an error.
func told(err error) string {
	if err == nil {
		return "nothing"
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return err.Error() + "; " + hinted.Hint()
	}
	return err.Error()
}

func TestAHomeThatIsTooLongForLimasSocketsIsRefused(t *testing.T) {
	for facts, most := range map[*Facts]int{&pc: 68, &mac: 64} {
		fits := host.Layout{Home: "/" + strings.Repeat("h", most-1)}
		if err := facts.check(fits); err != nil {
			t.Errorf("%d bytes on %s: %v", most, facts.OS, err)
		}
		err := facts.check(host.Layout{Home: fits.Home + "h"})
		want := "LINNET_HOME " + fits.Home + "h is too long for a virtual machine's sockets below it: "
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), fmt.Sprintf(": %d bytes, at most %d", most+1, most)) {
			t.Errorf("one more on %s: %v", facts.OS, err)
		}
	}
}
