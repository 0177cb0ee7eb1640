package sharedimages

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// memory is what both sides had in common, by name. A file that is older than the records does no harm: what it says of a record
// that was made since does not hold (agreement), and what it does not say is at worst a removal that is undone.
type memory struct {
	path  string
	names map[string]agreement
	dirty bool
}

// memoryFile is the form on the disk.
type memoryFile struct {
	Version int                  `json:"version"`
	Sides   [2]string            `json:"sides"`
	Names   map[string]agreement `json:"names"`
}

const memoryVersion = 1

// loadMemory reads the file. One that is not there, or is for other sides, remembers nothing; so does one that cannot be read,
// which is an error nevertheless.
func loadMemory(path string, sides [2]string) (*memory, error) {
	m := &memory{path: path, names: map[string]agreement{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("reading what images were shared: %w", err)
	}
	var f memoryFile
	if err := json.Unmarshal(text, &f); err != nil {
		return m, fmt.Errorf("reading what images were shared: %s: %w", path, err)
	}
	if f.Version == memoryVersion && f.Sides == sides && f.Names != nil {
		m.names = f.Names
	}
	return m, nil
}

func (m *memory) last(name string) *agreement {
	if a, ok := m.names[name]; ok {
		return &a
	}
	return nil
}

func (m *memory) remember(name string, a agreement) {
	m.names[name] = a
	m.dirty = true
}

func (m *memory) forget(name string) {
	if _, ok := m.names[name]; ok {
		delete(m.names, name)
		m.dirty = true
	}
}

// save writes the file if there is something new. It is not synced: see memory.
func (m *memory) save(sides [2]string) error {
	if !m.dirty {
		return nil
	}
	text, err := json.Marshal(memoryFile{memoryVersion, sides, m.names})
	if err != nil {
		return err
	}
	fresh := m.path + ".new"
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return fmt.Errorf("writing what images are shared: %w", err)
	}
	if err := os.Rename(fresh, m.path); err != nil {
		return fmt.Errorf("writing what images are shared: %w", err)
	}
	m.dirty = false
	return nil
}
