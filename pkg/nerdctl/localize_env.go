package nerdctl

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
)

// variable localizes NAME=value or NAME. nerdctl resolves a bare name from its own
// environment, byte for byte, so every value travels there and none on the argv; but for
// names that steer nerdctl. hide says that a value which was typed has to travel too.
func (l *localizer) variable(typed string, hide bool) (value string, keep bool) {
	name, val, valued := strings.Cut(typed, "=")
	switch {
	case name == "":
		return typed, true
	case valued && (!hide || Steering(name)):
		return typed, true
	case valued:
		l.setEnv(name, &val)
		return name, true
	}
	hostVal, set := l.host.LookupEnv(name)
	switch {
	case !Steering(name) && set:
		l.setEnv(name, &hostVal)
	case !Steering(name):
		l.setEnv(name, nil)
	case set:
		return name + "=" + hostVal, true
	default:
		// A bare name would be resolved to what the far side's own variable says.
		return "", false
	}
	return name, true
}

func (l *localizer) setEnv(name string, value *string) {
	if _, known := l.env[name]; !known {
		l.names = append(l.names, name)
	}
	l.env[name] = value
}

// hideEnv keeps the rest of the user's environment from nerdctl where nerdctl makes a
// container: it copies all of its own into the hooks of the container, and so into
// containerd's database on disk, where it stays. What steers nerdctl, it has to have.
func (l *localizer) hideEnv() {
	if l.host.Environ == nil {
		return
	}
	for _, entry := range l.host.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if _, known := l.env[name]; !known && name != "" && !Steering(name) {
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

// composeEnv carries the environment that a compose file is interpolated with, but for what
// steers nerdctl; what steers compose is meant for it.
func (l *localizer) composeEnv() {
	if l.host.Environ == nil {
		return
	}
	for _, entry := range l.host.Environ() {
		name, value, ok := strings.Cut(entry, "=")
		if ok && name != "" && (!Steering(name) || strings.HasPrefix(name, "COMPOSE_")) {
			l.setEnv(name, &value)
		}
	}
}

// envFile makes an environment file readable, and carries the values of the bare names in
// it. nerdctl reads it line by line, trims lines and skips those that begin with "#".
func (l *localizer) envFile(typed string) string {
	if l.host.ReadFile != nil && typed != "" {
		// What cannot be read is nerdctl's to complain about.
		b, _ := l.host.ReadFile(l.absolute(typed, true))
		for line := range bytes.Lines(b) {
			name := strings.TrimSpace(string(line))
			if name == "" || strings.HasPrefix(name, "#") || strings.Contains(name, "=") || Steering(name) {
				continue
			}
			l.variable(name, true)
		}
	}
	return l.readable(typed)
}

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
