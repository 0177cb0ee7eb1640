package deps

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed mends.yaml
var mendsYAML []byte

// MostMends is how many mends there may be: what needs more is better done without the component.
const MostMends = 15

// Mend is one function of a pinned source that a component is built without: a text of ours stands in its
// place, or its own with Edits. See the head of mends.yaml for what each field means.
type Mend struct {
	Name      string `yaml:"name" json:"name"`
	Component string `yaml:"component" json:"component"`
	Module    string `yaml:"module" json:"module"`
	File      string `yaml:"file" json:"file"`
	Function  string `yaml:"function" json:"function"`
	SHA256    string `yaml:"sha256" json:"sha256"`
	Defect    string `yaml:"defect" json:"defect"`
	Upstream  string `yaml:"upstream" json:"upstream"`
	Test      string `yaml:"test" json:"test"`
	Edits     []Edit `yaml:"edits" json:"edits,omitempty"`
}

// Edit is a piece of a function's text, which stands there once, and what comes in its place.
type Edit struct {
	From string `yaml:"from" json:"from"`
	To   string `yaml:"to" json:"to"`
}

// Mends returns the mends, in the order of mends.yaml.
func Mends() ([]Mend, error) {
	all, err := ParseMends(mendsYAML)
	if err != nil {
		return nil, fmt.Errorf("reading mends.yaml: %w", err)
	}
	return all, nil
}

// ParseMends reads mends from the text of a mends.yaml, as strictly as Parse does.
func ParseMends(text []byte) ([]Mend, error) {
	var file struct {
		Mends []Mend `yaml:"mends"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil {
		return nil, err
	}
	return file.Mends, validateMends(file.Mends)
}

// MendsOf are the mends of a component.
func MendsOf(all []Mend, component string) []Mend {
	return slices.DeleteFunc(slices.Clone(all), func(m Mend) bool { return m.Component != component })
}

var (
	mendName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	// A function, or a method by its receiver's type: Name, T.Name, (*T).Name.
	mendFunction = regexp.MustCompile(`^(\(\*\w+\)\.|\w+\.)?\w+$`)
	mendDigest   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func validateMends(all []Mend) error {
	var problems []error
	if len(all) > MostMends {
		problems = append(problems, fmt.Errorf("%d mends, and %d are the most", len(all), MostMends))
	}
	names, places := map[string]bool{}, map[string]bool{}
	for i, m := range all {
		bad := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("mend %d (%q): %w", i+1, m.Name, fmt.Errorf(format, args...)))
		}
		place := strings.Join([]string{m.Component, m.Module, m.File, m.Function}, " ")
		switch {
		case !mendName.MatchString(m.Name):
			bad("name: %q is not small letters, digits and hyphens", m.Name)
		case names[m.Name]:
			bad("name: stands twice")
		case places[place]:
			bad("function: %s is mended twice", m.Function)
		}
		names[m.Name], places[place] = true, true
		if !mendFunction.MatchString(m.Function) {
			bad("function: %q is neither Name nor T.Name nor (*T).Name", m.Function)
		}
		if path.Clean(m.File) != m.File || path.Ext(m.File) != ".go" || strings.HasPrefix(m.File, "../") {
			bad("file: %q is not a Go file below the module", m.File)
		}
		if !mendDigest.MatchString(m.SHA256) {
			bad("sha256: %q is not a digest", m.SHA256)
		}
		for _, e := range m.Edits {
			if e.From == "" || e.From == e.To {
				bad("edits: %q becomes %q", e.From, e.To)
			}
		}
		if m.Component == "" || m.Module == "" || m.Defect == "" || m.Upstream == "" || m.Test == "" {
			bad("component, module, defect, upstream and test must not be empty")
		}
	}
	return errors.Join(problems...)
}

// MendedPath is what a mended module is replaced by where its component is built, relative to there. It is
// how a program tells which mends it was built with.
func MendedPath(mends []Mend) string {
	var names []string
	for _, m := range mends {
		names = append(names, m.Name)
	}
	return mendedPrefix + strings.Join(names, "+")
}

const mendedPrefix = "./mended/"

// mendsIn are the names of the mends that a program was built with.
func mendsIn(info *debug.BuildInfo) []string {
	var names []string
	for _, d := range info.Deps {
		if d.Replace == nil {
			continue
		}
		if list, ok := strings.CutPrefix(d.Replace.Path, mendedPrefix); ok {
			names = append(names, strings.Split(list, "+")...)
		}
	}
	return names
}
