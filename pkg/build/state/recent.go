// Package state is what this host keeps between builds: how things were built lately, and build cache from elsewhere. It
// must not know how a build is done: no BuildKit.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Recipe is a build as it was asked for, so that it can be asked for again: BuildKit gives its
// cache away only while it builds. It holds no secret, but says where they are.
type Recipe struct {
	// Dir is the working directory that relative paths of Options are relative to.
	Dir     string          `json:"dir"`
	Options options.Options `json:"options"`
	// built is when it was last built, and path where that stands.
	built time.Time
	path  string
}

// mostRecent is how many builds are remembered.
const mostRecent = 50

// Remember keeps a build that succeeded, so that its cache can be exported. That it cannot is no reason for a build to
// fail. What is known already is not written again.
func Remember(l host.Layout, r Recipe) {
	text, err := json.Marshal(r)
	if err != nil || l.Home == "" {
		return
	}
	dir := l.RecentBuilds()
	sum := sha256.Sum256([]byte(r.Options.Context + "\x00" + r.Tag()))
	path := filepath.Join(dir, hex.EncodeToString(sum[:12])+".json")
	now := time.Now()
	if known, err := os.ReadFile(path); err == nil && string(known) == string(text) && os.Chtimes(path, now, now) == nil {
		return
	}
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	// Not through a disk's cache, as everything that must last: without it a build is exported less.
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if os.WriteFile(temporary, text, 0o600) != nil || os.Rename(temporary, path) != nil {
		_ = os.Remove(temporary)
		return
	}
	all := Recent(l)
	for i := mostRecent; i < len(all); i++ {
		_ = os.Remove(all[i].path) // it is tried again after the next build
	}
}

// Recent are the builds that are remembered, the last one first.
func Recent(l host.Layout) (all []Recipe) {
	paths, err := filepath.Glob(filepath.Join(l.RecentBuilds(), "*.json"))
	if err != nil || l.Home == "" {
		return nil
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		r := Recipe{path: path}
		text, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(text, &r) != nil {
			_ = os.Remove(path) // of another version
			continue
		}
		r.built = info.ModTime()
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Recipe) int { return b.built.Compare(a.built) })
	return all
}

// Tag names what a build is, apart from where its checkout is: the same build on another machine
// has the same. Where the project is not known, the directory's name stands for it.
func (r Recipe) Tag() string {
	o := r.Options
	project := o.Project
	if project == "" {
		project = filepath.Base(o.Context)
	}
	parts := []string{project, filepath.Base(o.File), o.Inline, o.Target, strings.Join(o.Platforms, ",")}
	for _, name := range slices.Sorted(maps.Keys(o.Args)) {
		parts = append(parts, name+"="+o.Args[name])
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:12])
}
