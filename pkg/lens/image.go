package lens

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Image is the facts of one image: its configuration, its history, and what is in each of its layers.
type Image struct {
	// Name is what the user called it.
	Name     string
	OS, Arch string
	// Created is zero where the image does not say.
	Created              time.Time
	User                 string
	Env, Entrypoint, Cmd []string
	WorkingDir           string
	Labels               map[string]string
	Ports                []string
	// Health says that it has a health check, or says that there shall be none.
	Health  bool
	History []History
	Layers  []*Layer
	// Attestable says that what it was read from can hold attestations; Provenance and SBOM are those that are there.
	Attestable bool
	Provenance *Provenance
	SBOM       bool

	merged *tree
}

// History is an entry of an image's history: By is what made it, as it is recorded.
type History struct {
	By    string
	Empty bool // it made no layer
}

// Layer is an index of one layer.
type Layer struct {
	// Digest is that of the blob; Packed is the blob's size in bytes, 0 where that is not known, and Size that of its files.
	Digest       string
	Packed, Size int64
	// Entries are in the order of the archive.
	Entries []Entry
	// By is the history's entry that made it; File and its lines are the Dockerfile's, where the provenance says them.
	By        string
	File      string
	Line, End int
}

// Entry is a file, a directory or anything else in a layer. The kinds are those of archive/tar.
type Entry struct {
	Path, Link string // from the root, without a slash before
	Size       int64  // bytes
	Mode       uint32 // permissions, with setuid, setgid and sticky as in a tar archive
	UID, GID   int
	Kind       byte
	// Sum tells contents apart, within one process; 0 where it was not computed.
	Sum    uint64
	Detail *Detail // nil for most
}

// Detail is what few files have.
type Detail struct {
	// Capabilities says that a program gains rights when it is run.
	Capabilities bool
	// Machine is an ELF file's e_machine, and 0 for others; Loader is what loads it, or a script's interpreter.
	Machine  uint16
	Loader   string
	Script   bool
	Secrets  []Secret
	Packages []Package
}

// Secret is a secret in a file. Its value is not kept.
type Secret struct {
	What string
	Line int
}

// Package is a package that a package manager's data base names.
type Package struct{ Name, Version string }

// Provenance is what an attestation says of a build.
type Provenance struct {
	// Arguments are the build arguments with their values, by name.
	Arguments map[string]string
	// Steps say for a layer's digest where in a Dockerfile it was made.
	Steps map[string]Lines
}

// Lines are lines of a Dockerfile.
type Lines struct {
	File      string
	Line, End int
}

// Place is where in an image something is.
type Place struct {
	Path   string `json:"path,omitempty"`
	Layer  int    `json:"layer,omitempty"` // from 1
	Digest string `json:"digest,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	// Step is the instruction that made the layer, shortened; no secret is in it.
	Step       string `json:"step,omitempty"`
	Dockerfile string `json:"dockerfile,omitempty"`
	Line       int    `json:"line,omitempty"`
	End        int    `json:"end,omitempty"`
}

// Kinds of entries, as in archive/tar.
const (
	kindFile    = '0'
	kindLink    = '1'
	kindSymlink = '2'
	kindDir     = '5'
)

// Trace tells each layer what made it: the history's entries in their order, and the provenance's lines.
func (i *Image) Trace() {
	n := 0
	for _, h := range i.History {
		if !h.Empty && n < len(i.Layers) {
			i.Layers[n].By = h.By
			n++
		}
	}
	if i.Provenance == nil {
		return
	}
	for _, l := range i.Layers {
		if at, ok := i.Provenance.Steps[l.Digest]; ok {
			l.File, l.Line, l.End = at.File, at.Line, at.End
		}
	}
}

// place is where an entry of a layer is; the layers count from 0.
func (i *Image) place(layer int, path string, bytes int64) *Place {
	l := i.Layers[layer]
	return &Place{Path: path, Layer: layer + 1, Digest: l.Digest, Bytes: bytes, Step: step(l.By), Dockerfile: l.File, Line: l.Line, End: l.End}
}

// of names a layer in a sentence: "layer 3 (COPY . .)", "layer 3 (Dockerfile:7: COPY . .)".
func (i *Image) of(layer int) string {
	l := i.Layers[layer]
	by := step(l.By)
	if l.File != "" && l.Line > 0 {
		by = strings.TrimSuffix(fmt.Sprintf("%s:%d: %s", l.File, l.Line, by), ": ")
	}
	if by == "" {
		return fmt.Sprintf("layer %d", layer+1)
	}
	return fmt.Sprintf("layer %d (%s)", layer+1, by)
}

var (
	// argumentsOf finds the build arguments that a history's entry for a RUN has before its command.
	argumentsOf = regexp.MustCompile(`^(?:RUN )?\|\d+ (.*?) ?(/bin/\w*sh -\w*c) `)
	shellOf     = regexp.MustCompile(`^(?:RUN )?/bin/\w*sh -\w*c `)
)

// instruction is a history's entry as it stood in the Dockerfile, without build arguments.
func instruction(by string) string {
	by = strings.TrimSuffix(strings.TrimSpace(by), " # buildkit")
	if m := argumentsOf.FindStringIndex(by); m != nil {
		return "RUN " + strings.TrimSpace(by[m[1]:])
	}
	if rest, ok := strings.CutPrefix(by, "/bin/sh -c #(nop) "); ok {
		return strings.TrimSpace(rest)
	}
	if m := shellOf.FindStringIndex(by); m != nil {
		return "RUN " + strings.TrimSpace(by[m[1]:])
	}
	return by
}

// step is an instruction in short, and without what may be a secret.
func step(by string) string {
	const most = 60
	text := strings.Join(strings.Fields(instruction(by)), " ")
	if secretIn(text) != "" || len(assignedSecrets(text)) > 0 {
		word, _, _ := strings.Cut(text, " ")
		return word + " ..."
	}
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}
