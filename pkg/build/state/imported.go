package state

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/linnet-dev/linnet/pkg/host"
)

// ExportedBuild is the cache of one build.
type ExportedBuild struct {
	// Tag is its name in the directory.
	Tag string `json:"tag"`
	// Project is the portable name of what was built, empty where it has none; Directory is what
	// the directory was called.
	Project   string   `json:"project,omitempty"`
	Dir       string   `json:"folder,omitempty"`
	File      string   `json:"file,omitempty"`
	Target    string   `json:"target,omitempty"`
	Platforms []string `json:"platforms,omitempty"`
	// Exported is when that was.
	Exported time.Time `json:"exported"`
}

// ImportedFile says, in a directory of imported cache, which build it is of.
const ImportedFile = "build.json"

// ImportedBuild is the cache of a build that was brought here.
type ImportedBuild struct {
	ExportedBuild
	// Imported is when that was, and Size what it takes on this host's disk, in bytes.
	Imported time.Time `json:"imported"`
	Size     int64     `json:"size"`
}

// Imported lists the cache that was brought here.
func Imported(l host.Layout) (all []ImportedBuild) {
	if l.Home == "" {
		return nil
	}
	entries, err := os.ReadDir(l.ImportedCache())
	if err != nil {
		return nil // nothing was ever imported
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(l.ImportedCache(), entry.Name(), ImportedFile))
		var c ImportedBuild
		if err == nil && json.Unmarshal(text, &c) == nil && c.Tag == entry.Name() {
			all = append(all, c)
		}
	}
	return all
}
