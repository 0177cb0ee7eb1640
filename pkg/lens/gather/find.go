package gather

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// skipped are directories with files of others, or with none of a project's sources.
var skipped = []string{".git", ".hg", ".svn", "node_modules", "vendor", ".venv", "venv", ".tox", ".terraform", "__pycache__", ".cache"}

// templates are endings of what is made into a Dockerfile first, and of what is about one.
var templates = []string{".dockerignore", ".md", ".txt", ".go", ".py", ".tmpl", ".tpl", ".j2", ".jinja", ".jinja2", ".template", ".in", ".erb", ".mustache", ".bak", ".orig", ".rej", ".swp", ".patch", ".diff"}

// isDockerfile reports whether a file's name is one of Dockerfiles.
func isDockerfile(name string) bool {
	if slices.ContainsFunc(templates, func(end string) bool { return strings.HasSuffix(strings.ToLower(name), end) }) {
		return false
	}
	for _, base := range []string{"Dockerfile", "dockerfile", "Containerfile"} {
		if name == base || strings.HasPrefix(name, base+".") || strings.HasSuffix(name, "."+base) {
			return true
		}
	}
	return false
}

// composeNames are the usual names of compose files, the one that counts first.
var composeNames = []string{"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"}

// find adds what a path names: a file, or the files of a directory.
func (r *reader) find(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", r.host.shown(path), hint.Cause(err))
	}
	if !info.IsDir() {
		if end := filepath.Ext(path); end == ".yaml" || end == ".yml" {
			r.composes = append(r.composes, path)
		} else {
			r.dockerfiles = append(r.dockerfiles, path)
		}
		return nil
	}
	before := len(r.dockerfiles) + len(r.composes)
	seen := map[string]int{} // the place in composeNames of the file that a directory has
	err = filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && at != path:
			return fs.SkipDir // a directory that may not be read has nothing that is built
		case err != nil:
			return err
		case e.IsDir() && at != path && (slices.Contains(skipped, e.Name()) || r.excluded(at)):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		n := slices.Index(composeNames, e.Name())
		if n < 0 && !isDockerfile(e.Name()) || r.excluded(at) || !isFile(at, e) {
			return nil
		}
		if n < 0 {
			r.dockerfiles = append(r.dockerfiles, at)
		} else if old, ok := seen[filepath.Dir(at)]; !ok || n < old {
			seen[filepath.Dir(at)] = n
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("searching %s: %w", r.host.shown(path), hint.Cause(err))
	}
	for dir, n := range seen {
		r.composes = append(r.composes, filepath.Join(dir, composeNames[n]))
	}
	slices.Sort(r.composes)
	r.composes = slices.Compact(r.composes)
	if len(r.dockerfiles)+len(r.composes) == before {
		return hint.With(fmt.Errorf("searching %s: %w", r.host.shown(path), errNothing), "name a file: linnet lint FILE")
	}
	return nil
}

var errNothing = errors.New("there is no Dockerfile and no compose file in it")

// isFile reports whether an entry is a file, or a link to one.
func isFile(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (r *reader) excluded(path string) bool {
	rel, err := filepath.Rel(r.root, path)
	return err == nil && r.config.Excluded(filepath.ToSlash(rel))
}
