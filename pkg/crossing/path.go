package crossing

import (
	"path/filepath"
	"strconv"
	"strings"
)

// ReadOnlyError is a path that has to be written and that the engine can only read.
type ReadOnlyError struct{ Host string }

func (e *ReadOnlyError) Error() string { return e.Host + " is read-only for the engine" }

// Locate returns where a path, as typed, is in the guest. A word that means the same in both places is returned as it is.
// With tilde a leading ~ is the home directory; elsewhere that is the shell's business.
func (m *Mapper) Locate(typed string, tilde bool) (inGuest string, readOnly bool, err error) {
	path := m.Absolute(typed, tilde)
	inGuest, readOnly, err = m.host.Visible(path)
	if err != nil {
		return "", false, err
	}
	if inGuest == path && !(tilde && hasTilde(typed)) && (filepath.IsAbs(typed) || m.sameDir) {
		return typed, readOnly, nil
	}
	return inGuest, readOnly, nil
}

// Absolute is a path of the host, as typed, from the root.
func (m *Mapper) Absolute(typed string, tilde bool) string {
	if tilde && hasTilde(typed) {
		return filepath.Join(m.host.Home, typed[1:])
	}
	if filepath.IsAbs(typed) {
		return filepath.Clean(typed)
	}
	return filepath.Join(m.host.Dir, typed)
}

func hasTilde(path string) bool { return path == "~" || strings.HasPrefix(path, "~/") }

// IsDir reports whether a path of the host is a directory.
func (m *Mapper) IsDir(path string) bool { return m.host.IsDir != nil && m.host.IsDir(path) }

// Visible maps a path that must be visible in the guest, and with write also writable there; no file is carried.
func (m *Mapper) Visible(typed string, write, tilde bool) (string, error) {
	if typed == "" || typed == "-" {
		return typed, nil
	}
	inGuest, readOnly, err := m.Locate(typed, tilde)
	if err != nil {
		return "", err
	}
	if write && readOnly {
		return "", &ReadOnlyError{Host: m.Absolute(typed, tilde)}
	}
	return inGuest, nil
}

// Readable makes a file readable in the guest: where it is, or through the stage.
func (m *Mapper) Readable(typed string) string {
	if typed == "" || typed == "-" {
		return typed
	}
	if inGuest, _, err := m.Locate(typed, true); err == nil {
		return inGuest
	}
	return m.Stage(m.Absolute(typed, true), false)
}

// Stage carries a file of the host into the stage, and returns the word that stands for its path there. With keepMode it
// keeps its name and mode.
func (m *Mapper) Stage(path string, keepMode bool) string {
	for _, f := range m.plan.Stage {
		if f.Host == path && f.KeepMode == keepMode {
			return placeholder(f.Name)
		}
	}
	name := filepath.Base(path)
	if !keepMode {
		name = "in" + strconv.Itoa(len(m.plan.Stage)) + "-" + name
	}
	m.plan.Stage = append(m.plan.Stage, StagedFile{Name: name, Host: path, KeepMode: keepMode})
	return placeholder(name)
}

// Writable has a file that is written in the guest end up on the host. isNew says that the host must not have it yet.
func (m *Mapper) Writable(typed string, isNew bool) string {
	if typed == "" {
		return typed
	}
	if inGuest, readOnly, err := m.Locate(typed, true); err == nil && !readOnly {
		return inGuest
	}
	path := m.Absolute(typed, true)
	name := "out" + strconv.Itoa(len(m.plan.CopyBack)) + "-" + filepath.Base(path)
	m.plan.CopyBack = append(m.plan.CopyBack, BackFile{Name: name, Host: path, New: isNew})
	return placeholder(name)
}

// Archive maps an archive that is read, or with write is written, and turns one that is not visible into a standard stream;
// keep is false then, since no path is to be named.
func (m *Mapper) Archive(typed string, write, tilde bool) (value string, keep bool) {
	if typed == "" {
		return typed, true
	}
	inGuest, readOnly, err := m.Locate(typed, tilde)
	if err == nil && !(write && readOnly) {
		return inGuest, true
	}
	file := &HostFile{Path: m.Absolute(typed, tilde)}
	if write {
		m.plan.Stdout = file
	} else {
		m.plan.Stdin = file
	}
	return "", false
}
