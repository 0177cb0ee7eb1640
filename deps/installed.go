package deps

import (
	"debug/buildinfo"
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// State says how what is installed compares with the pin.
type State string

// The states of an installed component.
const (
	Pinned    State = "pinned"    // every program is there, in the pinned version
	Missing   State = "missing"   // at least one program is not there
	Different State = "different" // at least one program is there in another version
)

// Unknown is the version of a program that does not say from which module it was built.
const Unknown = "unknown"

// Installed is a component as it was found in a prefix.
type Installed struct {
	Name   string `json:"name"`
	Pinned string `json:"pinned"`
	// Found is the version of the program at Path: empty when it is missing.
	Found string `json:"found"`
	State State  `json:"state"`
	// Mends are those that the component's programs were built with, by name; Unmended are those that they lack, which makes
	// the state Different.
	Mends    []string `json:"mends,omitempty"`
	Unmended []string `json:"unmended,omitempty"`
	// Path is the program that decided the state: the first one that is missing or not the
	// pinned version, or else the component's first.
	Path string `json:"path"`
}

// Inspect says for each component what is installed below prefix, for the architecture of
// this process. It reads the programs' headers and runs none of them.
func Inspect(prefix string, components []Component, mends []Mend) []Installed {
	found := make([]Installed, 0, len(components))
	for _, c := range components {
		found = append(found, compare(c, MendsOf(mends, c.Name), prefix, runtime.GOARCH, buildinfo.ReadFile))
	}
	return found
}

// compare decides the state of one component; read returns the build information of a file.
func compare(c Component, mends []Mend, prefix, goarch string, read func(string) (*debug.BuildInfo, error)) Installed {
	first := Installed{Name: c.Name, Pinned: c.Version}
	for i, p := range c.Programs {
		in := Installed{Name: c.Name, Pinned: c.Version, State: Pinned}
		in.Path = filepath.Join(prefix, filepath.FromSlash(p.File(goarch)))
		info, err := read(in.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			in.State = Missing
		case err != nil: // there, but no Go program, or not readable: surely not what we built
			in.State, in.Found = Different, Unknown
		default:
			in.Mends = mendsIn(info)
			for _, m := range mends {
				if links(info, m.Module) && !slices.Contains(in.Mends, m.Name) {
					in.Unmended = append(in.Unmended, m.Name)
				}
			}
			if in.Found = moduleVersion(info, c.Module); in.Found != c.Version || len(in.Unmended) > 0 {
				in.State = Different
			}
		}
		if in.State != Pinned {
			return in
		}
		if i == 0 {
			first = in
		}
	}
	return first
}

// links reports whether a module went into a program.
func links(info *debug.BuildInfo, module string) bool {
	return slices.ContainsFunc(info.Deps, func(d *debug.Module) bool { return d.Path == module })
}

// moduleVersion is the version of module that went into a program: of its main module when
// it was built there, else of the dependency.
func moduleVersion(info *debug.BuildInfo, module string) string {
	if info.Main.Path == module && info.Main.Version != "" {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path != module {
			continue
		}
		if d.Replace != nil && !strings.HasPrefix(d.Replace.Path, mendedPrefix) {
			d = d.Replace // a mended copy is of the version that it was copied from
		}
		if d.Version != "" { // a replacement by another directory has none
			return d.Version
		}
	}
	return Unknown
}
