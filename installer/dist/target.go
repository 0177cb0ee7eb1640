package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/deps"
)

// target is a system that linnet runs on, as Go names it.
type target struct{ OS, Arch string }

func (t target) String() string { return t.OS + "-" + t.Arch }

var (
	allSystems = []string{"linux", "darwin"}
	allArchs   = []string{"amd64", "arm64"}
)

func chooseTargets(systems, archs []string) ([]target, error) {
	if err := known("system", systems, allSystems); err != nil {
		return nil, err
	}
	if err := known("architecture", archs, allArchs); err != nil {
		return nil, err
	}
	var targets []target
	for _, system := range allSystems {
		for _, arch := range allArchs {
			if slices.Contains(systems, system) && slices.Contains(archs, arch) {
				targets = append(targets, target{system, arch})
			}
		}
	}
	return targets, nil
}

func known(what string, names, all []string) error {
	for _, name := range names {
		if !slices.Contains(all, name) {
			return &hintError{fmt.Errorf("no release is made for the %s %q", what, name), "one of " + strings.Join(all, ", ")}
		}
	}
	return nil
}

// programs are ours in an archive, by where they go.
func (t target) programs() map[string]string {
	if t.OS == "darwin" {
		// They run in the virtual machine, which is sent them, and so are in no directory of PATH.
		return map[string]string{"linnet-agent": "libexec/linnet/bin", "linnet-env": "libexec/linnet/bin"}
	}
	return map[string]string{"linnet-agent": "bin", "linnet-env": "bin"}
}

// clients are the programs that make up the client.
var clients = []string{"linnet", "linnet-build", "linnet-compose", "linnet-lint"}

// part is a program of a component: the file that was built, and where it goes below libexec/linnet.
type part struct {
	component deps.Component
	from, to  string
}

// defaultComponents is where the components of another system are looked for, below the repository.
const defaultComponents = "_output/components/{os}-{arch}"

// prefix is where a target's components were built into. Nothing else says where they come from.
func (d *dist) prefix(t target) string {
	pattern := d.components
	if pattern == "" {
		switch {
		case t.OS == runtime.GOOS && t.Arch == runtime.GOARCH:
			return filepath.Join(d.root, "libexec", "linnet")
		case t.OS == runtime.GOOS: // beside it, where deps/build puts what it builds for another architecture
			return filepath.Join(d.root, "libexec", "linnet-"+t.Arch)
		}
		pattern = filepath.Join(d.root, filepath.FromSlash(defaultComponents))
	}
	return strings.NewReplacer("{os}", t.OS, "{arch}", t.Arch).Replace(pattern)
}

// parts are the components' programs that a target's archive holds, each of which is there, pinned, and for that target. A host
// with Linux runs the engine itself or in a virtual machine, and so it gets all.
func (d *dist) parts(t target) ([]part, error) {
	all, err := deps.Load()
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, c := range all {
		if t.OS != "linux" && !c.For(deps.VM) {
			continue
		}
		for _, p := range c.Programs {
			one, err := d.part(t, c, p)
			if err != nil {
				return nil, err
			}
			if one.from != "" {
				parts = append(parts, one)
			}
		}
	}
	return parts, nil
}

// part finds a program of a component. On macOS, limactl is built on a Mac; what runs in the guest is Linux's own.
func (d *dist) part(t target, c deps.Component, p deps.Program) (part, error) {
	file := filepath.FromSlash(p.File(t.Arch))
	for _, from := range []target{t, {"linux", t.Arch}} {
		path := filepath.Join(d.prefix(from), file)
		_, err := os.Stat(path)
		switch {
		case err == nil:
			return part{c, path, file}, checkProgram(path, c, target{programOS(p, from), t.Arch})
		case !errors.Is(err, fs.ErrNotExist):
			return part{}, fmt.Errorf("%s: %w", c.Name, err)
		case from == t && t.OS == "darwin" && p.OS != "":
			continue // built with limactl, or with Linux's components
		case t.OS == "darwin" && !d.strict:
			d.say("%s: without %s, which is built on a Mac (installer/macos/limactl.sh): virtual machines need it", t, p.File(t.Arch))
			return part{}, nil
		case t.OS == "darwin":
			return part{}, &hintError{fmt.Errorf("%s: %s is not there: no %s", t, c.Name, path), "on a Mac: installer/macos/limactl.sh; OS=linux leaves macOS out"}
		}
		break
	}
	return part{}, &hintError{fmt.Errorf("%s: %s is not there: no %s", t, c.Name, filepath.Join(d.prefix(t), file)), buildHint(t, c, d.prefix(t))}
}

// programOS is the system that a program runs on: its component's host, or another's that it names.
func programOS(p deps.Program, host target) string {
	if p.OS != "" {
		return p.OS
	}
	return host.OS
}

func buildHint(t target, c deps.Component, prefix string) string {
	if t.OS == runtime.GOOS && t.Arch == runtime.GOARCH {
		return "go run ./deps/build " + c.Name
	}
	return fmt.Sprintf("go run ./deps/build -arch %s -prefix %s %s; ARCH=%s leaves it out", t.Arch, prefix, c.Name, runtime.GOARCH)
}

// checkProgram holds a program to its pin and its target, by what Go wrote into it.
func checkProgram(path string, c deps.Component, t target) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	if have := (target{setting(info, "GOOS"), setting(info, "GOARCH")}); have != t {
		return &hintError{fmt.Errorf("%s: %s is for %s, not for %s", c.Name, path, have, t), "build it anew"}
	}
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	if !slices.ContainsFunc(modules, func(m *debug.Module) bool { return m.Path == c.Module && m.Version == c.Version }) {
		return &hintError{fmt.Errorf("%s: %s is not of the pinned %s", c.Name, path, c.Version), "make deps"}
	}
	return nil
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
