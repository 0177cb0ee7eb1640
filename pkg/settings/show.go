package settings

import (
	"fmt"
	"strings"
)

// Origin is the kind of place that a value comes from.
type Origin string

// The origins, weakest first.
const (
	FromDefault     Origin = "default"
	FromFile        Origin = "file"
	FromEnvironment Origin = "environment"
	FromFlag        Origin = "flag"
)

// Source says where a value comes from.
type Source struct {
	From Origin `json:"from"`
	// Name is the file (home directory written as ~), the variable or the flag; empty for a
	// default.
	Name string `json:"name,omitempty"`
	// Line is the line in the file, from 1.
	Line int `json:"line,omitempty"`
}

// String is the source in words: "default", "~/.linnet/linnet.yaml:3", "environment
// LINNET_BACKEND", "flag --debug".
func (s Source) String() string {
	switch s.From {
	case FromFile:
		return fmt.Sprintf("%s:%d", s.Name, s.Line)
	case FromEnvironment, FromFlag:
		return string(s.From) + " " + s.Name
	}
	return string(FromDefault)
}

// Entry is one setting as `config show` lists it.
type Entry struct {
	Key string `json:"key"`
	// Value is the typed value: a text, a number (Count) or a list of texts in JSON.
	Value  any    `json:"value"`
	Source Source `json:"source"`
}

// Text is the value on one line; the items of a list are separated by commas, as they are in
// an environment variable.
func (e Entry) Text() string {
	switch v := e.Value.(type) {
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}

// Show lists every setting in the order of the reference.
func (s *Settings) Show() []Entry {
	fields := s.fields()
	entries := make([]Entry, len(fields))
	for i, f := range fields {
		entries[i] = Entry{Key: f.key, Source: s.Source(f.key)}
		switch v := f.value.(type) {
		case *Count:
			entries[i].Value = int(*v)
		case list:
			entries[i].Value = append([]string{}, v.items()...)
		case scalar:
			entries[i].Value = v.String()
		}
	}
	return entries
}

// Source says where the value of a key comes from; of an unknown key, the default.
func (s *Settings) Source(key string) Source {
	if source, ok := s.sources[key]; ok {
		return source
	}
	return Source{From: FromDefault}
}

func (s *Settings) set(key string, source Source) {
	if s.sources == nil {
		s.sources = map[string]Source{}
	}
	s.sources[key] = source
}
