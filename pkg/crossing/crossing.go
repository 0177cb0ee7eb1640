// Package crossing says what has to be done so that a value that was typed on the host means the same in the guest: a Mapper
// turns paths, bind mounts, files to read and to write, archives and environment variables into what is written there instead,
// and notes in a Plan what has to be carried over before and brought back after.
//
// It is pure. It must not know any command line or compose file, nor who carries its plans out, nor which guest there is.
package crossing

import (
	"slices"
	"strings"
)

// Host is what a Mapper asks of the host on which the values were typed.
type Host struct {
	// LookupEnv looks up a variable of the user's environment.
	LookupEnv func(name string) (value string, ok bool)
	// Dir is the working directory and Home the home directory, both absolute.
	Dir, Home string
	// Visible returns where an absolute path of the host is in the guest. Its error is passed on as it is.
	Visible func(path string) (inGuest string, readOnly bool, err error)

	// The rest may be nil. IsDir reports whether a path of the host is a directory; nil means never.
	IsDir func(path string) bool
	// ReadFile reads an environment file.
	ReadFile func(path string) ([]byte, error)
	// Environ lists the user's environment.
	Environ func() []string
}

// Plan is what has to be done around a command in the guest.
type Plan struct {
	// Variables are those of the container, NAME=value or a bare NAME, each name once. They reach the program that makes the
	// container as data, and are in no environment but the container's.
	Variables []string
	// Env are NAME=value that must be in the program's own environment in the guest, each name once. Unset are names that
	// must not be in it.
	Env, Unset []string
	// Dir is the working directory in the guest, empty when the host's is not visible there.
	Dir string
	// Stdin and Stdout replace the standard stream when they are set.
	Stdin, Stdout *HostFile
	// Stage are files of the host to put into the stage first, CopyBack are files to fetch from it afterwards.
	Stage    []StagedFile
	CopyBack []BackFile

	reserved []string // further files of the stage
}

// HostFile is a file of the host that is read or written through a standard stream.
type HostFile struct {
	Path string
	// Tar says that the stream is a tar archive of the path, as cp makes and takes it: its
	// one root entry is the last element of the path. FollowLink says that a symbolic link
	// Path is followed, Contents that the archive has no root entry: what is in a directory.
	Tar, FollowLink, Contents bool
	// Entry is what the root entry is called in a directory that is there, "." where its contents are copied: the base
	// of the container's path as it was typed, whatever the archive says.
	Entry string
}

// StagedFile is a file of the host that is read from the stage.
type StagedFile struct {
	// Name is the file's name in the stage, Host its absolute path on the host.
	Name, Host string
	// KeepMode says that the mode of the host's file matters; else 0600 is right.
	KeepMode bool
}

// BackFile is a file that is written into the stage and belongs on the host.
type BackFile struct {
	Name, Host string
	// New says that the command must be refused when the host's file is already there.
	New bool
}

// Direct reports whether nothing has to be done before or after the command.
func (p *Plan) Direct() bool { return p.Stdin == nil && p.Stdout == nil && !p.Staged() }

// Staged reports whether the command needs a stage.
func (p *Plan) Staged() bool { return len(p.Stage)+len(p.CopyBack)+len(p.reserved) > 0 }

// placeholder stands for the path of a staged file until the stage is there. No word that was typed can hold it, because
// none holds a zero byte.
func placeholder(name string) string { return "\x00stage:" + name + "\x00" }

// Reserve names a further file of the stage, that the command itself makes, and returns the word that stands for its path.
func (p *Plan) Reserve(name string) string {
	p.reserved = append(p.reserved, name)
	return placeholder(name)
}

// Fill puts the paths of staged files in the places of the words that stand for them. path says where a file of a name is;
// it may be nil when the plan is Direct.
func (p *Plan) Fill(word string, path func(name string) string) string {
	if !strings.Contains(word, "\x00") {
		return word
	}
	names := slices.Clone(p.reserved)
	for _, f := range p.Stage {
		names = append(names, f.Name)
	}
	for _, f := range p.CopyBack {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if mark := placeholder(name); strings.Contains(word, mark) {
			word = strings.ReplaceAll(word, mark, path(name))
		}
	}
	return word
}

// Mapper maps values one by one and collects what they need in one Plan.
type Mapper struct {
	host    Host
	plan    Plan
	sameDir bool
	dirErr  error
}

// New maps values of a host.
func New(h Host) *Mapper {
	m := &Mapper{host: h}
	inGuest, _, err := h.Visible(h.Dir)
	if err == nil {
		m.plan.Dir, m.sameDir = inGuest, inGuest == h.Dir
	}
	m.dirErr = err
	return m
}

// Plan is what the values that were mapped so far need.
func (m *Mapper) Plan() *Plan { return &m.plan }

// DirError is why the working directory is not visible in the guest, nil when it is.
func (m *Mapper) DirError() error { return m.dirErr }
