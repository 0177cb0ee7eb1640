package crossing

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// VariableError is a variable that is neither NAME=value nor NAME. Line says where in a file it stands, 0 that it was typed.
type VariableError struct {
	Typed string
	Line  int
}

func (e *VariableError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %q is not NAME=value", e.Line, e.Typed)
	}
	return fmt.Sprintf("%q is not NAME=value", e.Typed)
}

// Hint says what would be right.
func (e *VariableError) Hint() string {
	return "NAME=value sets a variable, and NAME alone takes over this host's"
}

// Variable takes NAME=value, or NAME with the value that it has on this host. One that is not set here stays a bare name:
// it takes the image's variable of that name away.
func (m *Mapper) Variable(typed string) error {
	name, _, valued := strings.Cut(typed, "=")
	if name == "" || strings.ContainsRune(typed, 0) {
		return &VariableError{Typed: typed}
	}
	if value, set := m.host.LookupEnv(name); !valued && set {
		typed = name + "=" + value
	}
	m.plan.Variables = withVariable(m.plan.Variables, typed)
	return nil
}

// withVariable adds an entry. The last one of a name counts, in the place of the first: nerdctl drops what stands in its
// list a second time.
func withVariable(list []string, entry string) []string {
	name, _, _ := strings.Cut(entry, "=")
	i := slices.IndexFunc(list, func(v string) bool {
		have, _, _ := strings.Cut(v, "=")
		return have == name
	})
	if i < 0 {
		return append(list, entry)
	}
	list[i] = entry
	return list
}

// EnvFile reads an environment file of the host, by docker's rules (docker/cli, pkg/kvfile): a line is NAME=value or NAME;
// white space before it is dropped and all else is the value; an empty line, and one that begins with "#", is nothing.
func (m *Mapper) EnvFile(typed string) error {
	text, err := m.host.ReadFile(m.Absolute(typed, true))
	if err != nil {
		return err
	}
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\uFEFF"))) {
		number++
		entry := strings.TrimLeft(strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), " \t\v\f")
		if entry == "" || strings.HasPrefix(entry, "#") {
			continue
		}
		name, _, valued := strings.Cut(entry, "=")
		if strings.ContainsAny(name, " \t") || !utf8.ValidString(entry) {
			return &VariableError{Typed: name, Line: number}
		}
		if _, set := m.host.LookupEnv(name); !valued && !set {
			continue // unlike one that is typed, as docker does
		}
		if err := m.Variable(entry); err != nil {
			return &VariableError{Typed: name, Line: number}
		}
	}
	return nil
}

// Expose puts those variables of the user's environment whose names are wanted into the program's own in the guest.
func (m *Mapper) Expose(wanted func(name string) bool) {
	m.eachVariable(func(name, entry string) {
		if strings.Contains(entry, "=") && wanted(name) {
			m.plan.Env = withVariable(m.plan.Env, entry)
		}
	})
}

// Hide takes those variables of the user's environment whose names are not allowed out of the program's own in the guest.
func (m *Mapper) Hide(allowed func(name string) bool) {
	m.eachVariable(func(name, _ string) {
		if !allowed(name) {
			m.plan.Unset = withVariable(m.plan.Unset, name)
		}
	})
}

func (m *Mapper) eachVariable(do func(name, entry string)) {
	if m.host.Environ == nil {
		return
	}
	for _, entry := range m.host.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name != "" {
			do(name, entry)
		}
	}
}
