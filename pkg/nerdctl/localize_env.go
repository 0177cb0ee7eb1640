package nerdctl

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// containerCommands start a container's processes. Their nerdctl gets nothing of the user's environment but what Allowed
// names: it writes its own into the hooks of a container, and so into containerd's database on disk.
var containerCommands = []string{"run", "create", "exec", "start", "restart"}

// variable takes NAME=value, or NAME with the value that it has on this host. One that is not set here stays a bare name:
// it takes the image's variable of that name away.
func (l *localizer) variable(typed string) error {
	name, _, valued := strings.Cut(typed, "=")
	if name == "" || strings.ContainsRune(typed, 0) {
		return &VariableError{Typed: typed}
	}
	if value, set := l.host.LookupEnv(name); !valued && set {
		typed = name + "=" + value
	}
	// The last one of a name counts, in the place of the first: nerdctl drops what stands in its list a second time.
	i := slices.IndexFunc(l.plan.Variables, func(v string) bool {
		have, _, _ := strings.Cut(v, "=")
		return have == name
	})
	if i < 0 {
		l.plan.Variables = append(l.plan.Variables, typed)
	} else {
		l.plan.Variables[i] = typed
	}
	return nil
}

// VariableError is a variable that is neither NAME=value nor NAME. File and Line say where it stands, when it was not typed.
type VariableError struct {
	Typed, File string
	Line        int
}

func (e *VariableError) Error() string {
	if e.File != "" {
		return fmt.Sprintf("--env-file %s: line %d: %q is not NAME=value", e.File, e.Line, e.Typed)
	}
	return fmt.Sprintf("--env %q is not NAME=value", e.Typed)
}

// Hint says what would be right.
func (e *VariableError) Hint() string {
	return "NAME=value sets a variable, and NAME alone takes over this host's"
}

func (l *localizer) setEnv(name string, value *string) {
	if _, known := l.env[name]; !known {
		l.names = append(l.names, name)
	}
	l.env[name] = value
}

// hideEnv keeps all of the user's environment from nerdctl that it does not need.
func (l *localizer) hideEnv() {
	if l.host.Environ == nil {
		return
	}
	for _, entry := range l.host.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name != "" && !Allowed(name) {
			l.setEnv(name, nil)
		}
	}
}

func (l *localizer) finishEnv() {
	for _, name := range l.names {
		if value := l.env[name]; value != nil {
			l.plan.Env = append(l.plan.Env, name+"="+*value)
		} else {
			l.plan.Unset = append(l.plan.Unset, name)
		}
	}
}

// composeEnv carries the environment that a compose file is interpolated with, but for what nerdctl itself goes by in the
// guest; what steers compose is meant for it.
func (l *localizer) composeEnv() {
	if l.host.Environ == nil {
		return
	}
	for _, entry := range l.host.Environ() {
		name, value, ok := strings.Cut(entry, "=")
		if ok && name != "" && (!Allowed(name) || strings.HasPrefix(name, "COMPOSE_")) {
			l.setEnv(name, &value)
		}
	}
}

// envFile reads an environment file here, by docker's rules (docker/cli, pkg/kvfile): a line is NAME=value or NAME; white
// space before it is dropped and all else is the value; an empty line, and one that begins with "#", is nothing.
func (l *localizer) envFile(typed string) error {
	text, err := l.host.ReadFile(l.absolute(typed, true))
	if err != nil {
		return &EnvFileError{File: typed, Err: err}
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
			return &VariableError{Typed: name, File: typed, Line: number}
		}
		if _, set := l.host.LookupEnv(name); !valued && !set {
			continue // unlike one that is typed, as docker does
		}
		if err := l.variable(entry); err != nil {
			return &VariableError{Typed: name, File: typed, Line: number}
		}
	}
	return nil
}

// EnvFileError is an environment file that cannot be read.
type EnvFileError struct {
	File string
	Err  error
}

func (e *EnvFileError) Error() string {
	return fmt.Sprintf("reading --env-file %s: %v", e.File, hint.Cause(e.Err))
}
func (e *EnvFileError) Unwrap() error { return e.Err }

// eachItem localizes the items of a flag that takes a comma-separated list, or the one
// value of another flag. A list of which nothing changes stays as it was typed.
func eachItem(v FlagValue, localize func(string) (string, error)) (string, error) {
	if v.Flag.Type != "stringSlice" || v.Value == "" {
		return localize(v.Value)
	}
	items, err := csv.NewReader(strings.NewReader(v.Value)).Read()
	if err != nil {
		return "", err
	}
	were := slices.Clone(items)
	for i := range items {
		if items[i], err = localize(items[i]); err != nil {
			return "", err
		}
	}
	if slices.Equal(items, were) {
		return v.Value, nil
	}
	return joinList(items), nil
}

// joinList writes a list so that it is read as these items.
func joinList(items []string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(items) // a strings.Builder takes everything
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}
