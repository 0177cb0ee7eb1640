package crossing

import (
	"fmt"
	"slices"
	"strings"
)

// Volume maps the source of SOURCE:DESTINATION[:OPTIONS], unless it names a volume.
func (m *Mapper) Volume(value string) (string, error) {
	source, rest, ok := strings.Cut(strings.TrimLeft(value, ":"), ":")
	if !ok || isVolumeName(source) {
		return value, nil
	}
	inGuest, err := m.bindSource(source, ":")
	if err != nil || inGuest == source {
		return value, err
	}
	return inGuest + ":" + rest, nil
}

// Mount maps the source of type=bind, and of a volume whose name is a path, in KEY=VALUE,...
func (m *Mapper) Mount(value string) (string, error) {
	fields := strings.Split(value, ",")
	if slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, "type=tmpfs") }) {
		return value, nil
	}
	for i, field := range fields {
		key, source, ok := strings.Cut(field, "=")
		if key = strings.ToLower(key); !ok || key != "source" && key != "src" || source == "" || isVolumeName(source) {
			continue
		}
		inGuest, err := m.bindSource(source, ",:")
		if err != nil {
			return "", err
		}
		fields[i] = field[:len(key)+1] + inGuest
	}
	return strings.Join(fields, ","), nil
}

// bindSource maps the source of a bind mount, written where none of the separators may stand.
func (m *Mapper) bindSource(source, separators string) (string, error) {
	inGuest, err := m.Visible(source, false, true)
	if err == nil && inGuest != source && strings.ContainsAny(inGuest, separators) {
		return "", fmt.Errorf("mounting %s: a path with %q in it cannot be mounted", inGuest, separators[:1])
	}
	return inGuest, err
}

// isVolumeName is nerdctl's rule for what is the name of a volume, and not a path.
func isVolumeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return len(s) > 1
}
