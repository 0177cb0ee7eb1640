package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/linnet-dev/linnet/deps"
)

// manifestName is the file in a prefix, and in each directory of the cache, that says what is there.
const manifestName = "manifest.json"

// manifest is what a prefix holds.
type manifest struct {
	Components []record `json:"components"`
}

// record is one component as it was built or installed.
type record struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Key       string `json:"key"`
	Files     []file `json:"files"`
}

// file is one installed program. Modified, in nanoseconds since 1970, lets a later run see
// without reading the whole file that it was not written to.
type file struct {
	Path     string `json:"path"` // slash-separated, below the prefix
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`
}

// readManifest reads the manifest in dir. One that is not there, or is not a manifest, is an
// empty one: everything is then installed anew, which is always right.
func readManifest(dir string) (manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return manifest{}, nil
	}
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if json.Unmarshal(text, &m) != nil {
		return manifest{}, nil //nolint:nilerr // a torn manifest means: install anew
	}
	return m, nil
}

// write replaces the manifest in dir at once, so that no reader sees half of it.
func (m manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", manifestName, err)
	}
	temp := filepath.Join(dir, "."+manifestName+".new")
	if err := os.WriteFile(temp, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, manifestName))
}

// of is the record of a component, or an empty one.
func (m manifest) of(component string) record {
	for _, r := range m.Components {
		if r.Component == component {
			return r
		}
	}
	return record{}
}

// with is m with r in the place of its component's record.
func (m manifest) with(r record) manifest {
	all := slices.Clone(m.Components)
	i := slices.IndexFunc(all, func(old record) bool { return old.Component == r.Component })
	if i < 0 {
		return manifest{append(all, r)}
	}
	all[i] = r
	return manifest{all}
}

// leftOver are the files of r that are not in next: a program that is no longer made.
func (r record) leftOver(next record) []string {
	var paths []string
	for _, f := range r.Files {
		if !slices.ContainsFunc(next.Files, func(n file) bool { return n.Path == f.Path }) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// record describes the programs of a job as they stand below dir.
func (j job) record(dir string) (record, error) {
	r := record{Component: j.component.Name, Version: j.component.Version, Key: j.key}
	for _, c := range j.commands {
		f, err := describe(dir, c.File)
		if err != nil {
			return record{}, err
		}
		r.Files = append(r.Files, f)
	}
	return r, nil
}

func describe(dir, path string) (file, error) {
	name := filepath.Join(dir, filepath.FromSlash(path))
	info, err := os.Stat(name)
	if err != nil {
		return file{}, err
	}
	sum, err := deps.Digest(name)
	if err != nil {
		return file{}, err
	}
	return file{Path: path, SHA256: sum, Size: info.Size(), Modified: info.ModTime().UnixNano()}, nil
}

// untouched reports whether all files of r are below dir as they were written: same size, same time.
func (r record) untouched(dir string) bool {
	for _, f := range r.Files {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size || info.ModTime().UnixNano() != f.Modified {
			return false
		}
	}
	return true
}

// intact reports whether all files of r are below dir with the content they were written with.
func (r record) intact(dir string) bool {
	for _, f := range r.Files {
		if sum, err := deps.Digest(filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil || sum != f.SHA256 {
			return false
		}
	}
	return true
}
