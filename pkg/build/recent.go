package build

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
)

// recipe is a build as it was asked for, so that it can be asked for again: BuildKit gives its
// cache away only while it builds. It holds no secret, but says where they are.
type recipe struct {
	// Dir is the working directory that relative paths of Options are relative to.
	Dir     string          `json:"dir"`
	Options options.Options `json:"options"`
	// built is when it was last built.
	built time.Time
}

// mostRecent is how many builds are remembered.
const mostRecent = 50

// state is a folder of what is kept between builds; empty where nothing is.
func (s Session) state(name string) string {
	if s.TokenDir == "" {
		return ""
	}
	return filepath.Join(s.TokenDir, name)
}

// remember keeps a build that succeeded for ExportCache. That it cannot is no reason for a build to
// fail. What is known already is not written again.
func (s Session) remember(j *job) {
	dir, o := s.state("recent"), j.options
	if dir == "" || j.dir == "" || o.File == "-" || o.Request != "" {
		return
	}
	o.Context = j.dir
	o.NoCache, o.NoCacheFilter, o.Pull = false, nil, false
	o.Tags, o.Annotations, o.Outputs, o.Attests, o.CacheFrom, o.CacheTo = nil, nil, nil, nil, nil, nil
	r := recipe{Dir: s.Host.Dir, Options: o}
	text, err := json.Marshal(r)
	if err != nil {
		return
	}
	sum := sha256.Sum256([]byte(j.dir + "\x00" + r.tag()))
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
	forget(dir)
}

// forget removes the builds that are too many, the oldest first.
func forget(dir string) {
	all := recent(dir)
	for i := mostRecent; i < len(all); i++ {
		_ = os.Remove(all[i].path) // it is tried again after the next build
	}
}

type remembered struct {
	recipe
	path string
}

// recent are the builds that are remembered, the last one first.
func recent(dir string) (all []remembered) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		r := remembered{path: path}
		text, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(text, &r.recipe) != nil {
			_ = os.Remove(path) // of another version
			continue
		}
		r.built = info.ModTime()
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b remembered) int { return b.built.Compare(a.built) })
	return all
}

// tag names what a build is, apart from where its checkout is: the same build on another machine
// has the same. Where the project is not known, the folder's name stands for it.
func (r recipe) tag() string {
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
