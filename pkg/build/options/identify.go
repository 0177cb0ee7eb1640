package options

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// Identify finds out which project is built, where the caller has not said so, and whose cache
// mounts it uses: its own, or those that all projects share.
func (o *Options) Identify(h Host, shared bool) {
	dir := h.Abs(o.Context)
	if info, err := os.Stat(dir); o.Project == "" && o.Context != "-" && !IsHTTP(o.Context) && err == nil && info.IsDir() {
		if o.Project = Project(dir); o.Project == "" {
			o.Project = composeName(dir)
		}
	}
	if !shared {
		o.CacheMounts = mountsOf(o.Project)
	}
}

// IsHTTP reports whether a context or a Dockerfile is an address of http.
func IsHTTP(value string) bool {
	return strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://")
}

// composeName is the name that a compose file in a directory gives its project. One that goes by the
// directory's own name says nothing about another checkout.
func composeName(dir string) string {
	for _, name := range []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"} {
		text, err := readSmall(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		var file struct {
			Name string `yaml:"name"`
		}
		if yaml.Unmarshal(text, &file) != nil || strings.Contains(file.Name, "$") {
			return "" // the code that reads it for good says what is wrong with it
		}
		return file.Name
	}
	return ""
}

// ownMounts begins the namespace of a project's cache mounts. BuildKit puts namespace, a slash and
// the mount's id together. It takes an id out of a step's cache key when what follows the first
// slash is not the mount's own target, and this slash sees to that: otherwise a checkout whose
// project is not known, or has another name, would share no cache with the others.
const ownMounts = "linnet/"

func mountsOf(project string) string {
	if project == "" {
		return ""
	}
	return ownMounts + url.PathEscape(project)
}

// SplitMount takes a cache mount's whole id apart: the project, empty where it is shared, and the
// id that the Dockerfile gives it or, where it gives none, the mount's target.
func SplitMount(id string) (project, mount string) {
	if rest, ok := strings.CutPrefix(id, ownMounts); ok {
		if name, mount, ok := strings.Cut(rest, "/"); ok {
			if project, err := url.PathUnescape(name); err == nil {
				return project, mount
			}
		}
	}
	namespace, mount, ok := strings.Cut(id, "/")
	if !ok {
		return "", id
	}
	return namespace, mount
}
