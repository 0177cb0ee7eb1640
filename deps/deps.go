// Package deps names every third-party program that linnet drives, in the one version that
// it was tested with, and says which of them an installation really has.
//
// The data is components.yaml; deps/build makes the programs from it. This package reads only:
// it starts no process and must stay cheap, because the client imports it for `linnet version`.
package deps

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed components.yaml
var componentsYAML []byte

// Component is one third-party project, pinned: see the head of components.yaml for what
// each field means.
type Component struct {
	Name     string    `yaml:"name" json:"name"`
	Version  string    `yaml:"version" json:"version"`
	Module   string    `yaml:"module" json:"module"`
	Licence  string    `yaml:"licence" json:"licence"`
	Hosts    []Host    `yaml:"hosts" json:"hosts"`
	Cgo      bool      `yaml:"cgo" json:"cgo,omitempty"`
	Tags     []string  `yaml:"tags" json:"tags,omitempty"`
	GCFlags  string    `yaml:"gcflags" json:"gcflags,omitempty"`
	Stamp    string    `yaml:"stamp" json:"stamp,omitempty"`
	Bare     bool      `yaml:"bare" json:"bare,omitempty"`
	Needs    []Need    `yaml:"needs" json:"needs,omitempty"`
	Programs []Program `yaml:"programs" json:"programs"`
	// Cross is by the architecture that is built for on another, as Go names it. It is not part of the component's JSON: what a
	// program is made with is known when it is built.
	Cross map[string]Cross `yaml:"cross" json:"-"`
}

// Cross is how a component with cgo is built for another architecture than the build machine's: Compiler is the command of the C
// compiler, Needs is what must be on the build machine, and Sysroot are the Debian packages of the target that are unpacked for the
// build, because they have the libraries.
type Cross struct {
	Compiler string   `yaml:"compiler"`
	Needs    []Need   `yaml:"needs"`
	Sysroot  []string `yaml:"sysroot"`
}

// Host is a kind of host, by where it runs the engine.
type Host string

// The kinds of host.
const (
	Linux Host = "linux" // runs the engine itself
	VM    Host = "vm"    // runs the engine in a virtual machine
)

// Need is something that must be on the machine that builds: a Command in PATH, a Library
// that pkg-config knows, or a File by its absolute path. Debian is the package that has it.
type Need struct {
	Command string `yaml:"command" json:"command,omitempty"`
	Library string `yaml:"library" json:"library,omitempty"`
	File    string `yaml:"file" json:"file,omitempty"`
	Debian  string `yaml:"debian" json:"debian"`
}

// Program is one executable of a component. It is built from a Package below the component's module, or from a Main of ours
// in the component's own module, below deps/, which links the component as a library.
type Program struct {
	Package string   `yaml:"package" json:"package,omitempty"`
	Main    string   `yaml:"main" json:"main,omitempty"`
	To      string   `yaml:"to" json:"to"` // slash-separated, below the prefix
	Tags    []string `yaml:"tags" json:"tags,omitempty"`
	OS      string   `yaml:"os" json:"os,omitempty"`
}

// Load returns the pinned components, in the order of components.yaml.
func Load() ([]Component, error) {
	all, err := Parse(componentsYAML)
	if err != nil {
		return nil, fmt.Errorf("reading components.yaml: %w", err)
	}
	return all, nil
}

// Parse reads components from the text of a components.yaml. It is strict: a field that it
// does not know is an error, and every problem is reported at once.
func Parse(text []byte) ([]Component, error) {
	var file struct {
		Components []Component `yaml:"components"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil {
		return nil, err
	}
	if err := validate(file.Components, Component.mistakes); err != nil {
		return nil, err
	}
	return file.Components, nil
}

// ParsePeers reads the programs that tests alone drive from the text of e2e/peers/peers.yaml, as strictly. No host needs them, and each
// has a program bin/NAME. One of ours has no module, version and licence.
func ParsePeers(text []byte) ([]Component, error) {
	var file struct {
		Peers []Component `yaml:"peers"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil {
		return nil, err
	}
	if err := validate(file.Peers, Component.mistakesOfPeer); err != nil {
		return nil, err
	}
	return file.Peers, nil
}

// For reports whether a host of kind h needs the component.
func (c Component) For(h Host) bool { return slices.Contains(c.Hosts, h) }

// Source is what go build makes p, a program of c, from: an import path, or a directory of the component's own module.
func (c Component) Source(p Program) string {
	if p.Main != "" {
		return p.Main
	}
	return path.Join(c.Module, p.Package)
}

// File is where p goes for an architecture as Go names it (amd64, arm64), below the prefix.
func (p Program) File(goarch string) string {
	machine := goarch
	switch goarch {
	case "amd64":
		machine = "x86_64"
	case "arm64":
		machine = "aarch64"
	}
	return strings.ReplaceAll(p.To, "{machine}", machine)
}

func (n Need) valid() bool {
	given := 0
	for _, name := range []string{n.Command, n.Library, n.File} {
		if name != "" {
			given++
		}
	}
	return given == 1 && n.Debian != ""
}

// places are the directories of a prefix that a program may go to.
var places = []string{"bin/", "cni/", "share/"}

// validate finds what is wrong with each of them alone, which mistakes says, and what may be there but once.
func validate(all []Component, mistakes func(Component) []string) error {
	if len(all) == 0 {
		return errors.New("no components")
	}
	var problems []error
	names, files := map[string]bool{}, map[string]bool{}
	for i, c := range all {
		found := mistakes(c)
		if names[c.Name] {
			found = append([]string{"name: stands twice"}, found...)
		}
		names[c.Name] = true
		for _, p := range c.Programs {
			if files[p.To] {
				found = append(found, fmt.Sprintf("programs: to: %q stands twice", p.To))
			}
			files[p.To] = true
		}
		for _, m := range found {
			problems = append(problems, fmt.Errorf("component %d (%q): %s", i+1, c.Name, m))
		}
	}
	return errors.Join(problems...)
}

// mistakes are those of a component that hosts need.
func (c Component) mistakes() (found []string) {
	if !strings.HasPrefix(c.Version, "v") {
		found = append(found, fmt.Sprintf("version: %q is not a module version", c.Version))
	}
	if c.Module == "" || c.Licence == "" {
		found = append(found, "module and licence must not be empty")
	}
	if len(c.Hosts) == 0 {
		found = append(found, "hosts must not be empty")
	}
	for _, h := range c.Hosts {
		if h != Linux && h != VM {
			found = append(found, fmt.Sprintf("hosts: %q is neither %q nor %q", h, Linux, VM))
		}
	}
	return append(found, c.mistakesOfBuild()...)
}

// mistakesOfPeer are those of a program that tests alone drive.
func (c Component) mistakesOfPeer() (found []string) {
	if given := c.Module != ""; strings.HasPrefix(c.Version, "v") != given || (c.Licence != "") != given {
		found = append(found, "module, version and licence must be given, or for a program of ours none of them")
	}
	if len(c.Hosts) > 0 {
		found = append(found, "hosts: tests alone drive it")
	}
	if !slices.ContainsFunc(c.Programs, func(p Program) bool { return p.To == "bin/"+c.Name }) {
		found = append(found, fmt.Sprintf("programs: none is bin/%s", c.Name))
	}
	return append(found, c.mistakesOfBuild()...)
}

// mistakesOfBuild are those in what says how something is built.
func (c Component) mistakesOfBuild() (found []string) {
	if c.Name == "" || strings.ContainsAny(c.Name, "/\\. ") {
		found = append(found, fmt.Sprintf("name: %q is not the name of a directory", c.Name))
	}
	for _, n := range c.Needs {
		if !n.valid() {
			found = append(found, "needs: one of command, library and file, and debian, must be given")
		}
	}
	for _, arch := range slices.Sorted(maps.Keys(c.Cross)) {
		if x := c.Cross[arch]; !c.Cgo || x.Compiler == "" || slices.ContainsFunc(x.Needs, func(n Need) bool { return !n.valid() || n.Library != "" }) {
			found = append(found, fmt.Sprintf("cross: %s: it is for a component with cgo, and must have a compiler; needs must have one of command and file, and debian", arch))
		}
	}
	if len(c.Programs) == 0 {
		found = append(found, "programs must not be empty")
	}
	for _, p := range c.Programs {
		inPlace := slices.ContainsFunc(places, func(dir string) bool { return strings.HasPrefix(p.To, dir) })
		switch {
		case (p.Package == "") == (p.Main == ""):
			found = append(found, "programs: one of package and main must be given")
		case !inPlace || path.Clean(p.To) != p.To:
			found = append(found, fmt.Sprintf("programs: to: %q is not a file in one of %s", p.To, strings.Join(places, ", ")))
		}
	}
	return found
}
