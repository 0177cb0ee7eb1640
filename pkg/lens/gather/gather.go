// Package gather collects the facts that package lens judges: Dockerfiles, build contexts and compose files of a project, read on
// this host, without an engine. It must not judge them.
package gather

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/linnet-dev/linnet/pkg/build/localdir"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/buildrules"
)

// Host is what facts are collected on.
type Host struct {
	// Dir is the working directory, absolute: findings' paths are from there. Home is the user's; "" where there is none.
	Dir, Home string
	// Environ is what compose files are interpolated with, as os.Environ gives it.
	Environ []string
	Today   time.Time
}

// Read collects the facts of what paths name: directories, which are searched, Dockerfiles and compose files. None is the working directory.
// The configuration is that of the first path's project.
func (h Host) Read(ctx context.Context, paths []string) (*lens.Project, *lens.Config, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for i, p := range paths {
		if !filepath.IsAbs(p) {
			paths[i] = filepath.Join(h.Dir, p)
		}
	}
	config, root, err := h.config(paths[0])
	if err != nil {
		return nil, nil, err
	}
	r := &reader{host: h, config: config, root: root, contexts: map[contextKey]*contextOnce{}}
	for _, p := range paths {
		if err := r.find(ctx, p); err != nil {
			return nil, nil, err
		}
	}
	project, err := r.read(ctx)
	return project, config, err
}

// Config is the word of the working directory's project.
func (h Host) Config() (*lens.Config, error) {
	c, _, err := h.config(h.Dir)
	return c, err
}

// config reads .linnet/lens.yaml of a path's project: in its directory, or the nearest above it, up to that of the repository. root is the
// project's directory.
func (h Host) config(path string) (*lens.Config, string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", h.shown(path), hint.Cause(err))
	}
	start := path
	if !info.IsDir() {
		start = filepath.Dir(path)
	}
	for dir := start; dir != h.Home; dir = filepath.Dir(dir) {
		name := filepath.Join(dir, lens.ConfigName)
		text, err := os.ReadFile(name)
		switch {
		case err == nil:
			c, err := lens.ReadConfig(h.shown(name), string(text), h.Today)
			if err == nil {
				c.Root = h.shown(dir)
			}
			return c, dir, err
		case !errors.Is(err, os.ErrNotExist):
			return nil, "", fmt.Errorf("reading %s: %w", h.shown(name), hint.Cause(err))
		}
		if exists(filepath.Join(dir, ".git")) {
			return lens.Defaults(h.Today), dir, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return lens.Defaults(h.Today), start, nil
}

// shown is a path as the user sees it: from the working directory, where it is below that.
func (h Host) shown(path string) string {
	rel, err := filepath.Rel(h.Dir, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return path
	}
	return rel
}

// reader collects what was found, and then reads it.
type reader struct {
	host   Host
	config *lens.Config
	// root is the project's directory, absolute.
	root        string
	dockerfiles []string // absolute
	composes    []string // the first file of each project, absolute

	contexts map[contextKey]*contextOnce
	lock     sync.Mutex // of contexts
}

// mostFile bounds a compose file, in bytes.
const mostFile = 4 << 20

func (r *reader) read(ctx context.Context) (*lens.Project, error) {
	project := &lens.Project{}
	builds := map[string][]build{}
	for _, file := range r.composes {
		c, err := r.compose(ctx, file, builds)
		if err != nil {
			return nil, err
		}
		project.Compose = append(project.Compose, c)
	}
	slices.Sort(r.dockerfiles)
	r.dockerfiles = slices.Compact(r.dockerfiles)
	project.Dockerfiles = make([]*lens.Dockerfile, len(r.dockerfiles))
	var all errgroup.Group
	all.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, path := range r.dockerfiles {
		all.Go(func() (err error) {
			project.Dockerfiles[i], err = r.dockerfile(ctx, path, builds[path])
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	project.AllContexts()
	return project, nil
}

// dockerfile reads one Dockerfile, its context and what BuildKit's own linter says of it.
func (r *reader) dockerfile(ctx context.Context, path string, builds []build) (*lens.Dockerfile, error) {
	shown := r.host.shown(path)
	file, err := localdir.FindDockerfile(ctx, options.Host{Dir: r.host.Dir}, options.Options{File: shown}, nil)
	var hinted *hint.Error
	if errors.As(err, &hinted) {
		return nil, hinted.Err // its hint is about a flag of builds
	}
	if err != nil {
		return nil, err
	}
	if file.In != nil {
		defer file.In.Close()
	}
	d := lens.ParseDockerfile(shown, file.Text)
	d.Health = len(builds) > 0
	dir := ""
	for _, b := range builds {
		d.Targets = append(d.Targets, b.target)
		d.Health = d.Health && b.health
		dir = b.context
	}
	if dir == "" {
		dir = r.contextOf(d, filepath.Dir(path))
	}
	ignore, err := r.ignoreOf(file, dir)
	if err != nil {
		return nil, err
	}
	if d.ReadsContext() {
		if d.Context, err = r.context(ctx, dir, ignore); err != nil {
			return nil, err
		}
	}
	d.Rules, err = buildrules.Check(ctx, file.Name, file.Text, ignore)
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", shown, err)
	}
	return d, nil
}

func ignoreLost(error) {}

// ignoreOf is the text of the .dockerignore that counts: the Dockerfile's own, or the context's; nil without one.
func (r *reader) ignoreOf(file localdir.Dockerfile, dir string) (own []byte, err error) {
	own = file.Ignore
	if file.In != nil {
		own, err = file.In.Ignored(file.Name+localdir.IgnoreSuffix, file.Shown+localdir.IgnoreSuffix)
	}
	if err != nil || own != nil {
		return own, err
	}
	context, err := localdir.Open(dir, ignoreLost)
	if err != nil {
		return nil, fmt.Errorf("reading the build context %s: %w", r.host.shown(dir), hint.Cause(err))
	}
	defer context.Close()
	return context.Ignored(localdir.IgnoreSuffix, filepath.Join(r.host.shown(dir), localdir.IgnoreSuffix))
}

// contextOf is the directory that a Dockerfile is most likely built from: its own, or that of the project, where only that has all it copies.
func (r *reader) contextOf(d *lens.Dockerfile, own string) string {
	has := func(dir string) bool {
		for _, source := range d.Sources() {
			if _, err := os.Lstat(filepath.Join(dir, source)); err != nil {
				return false
			}
		}
		return true
	}
	for dir := own; ; dir = filepath.Dir(dir) {
		if has(dir) {
			return dir
		}
		if dir == r.root || !strings.HasPrefix(dir, r.root+string(filepath.Separator)) {
			return own
		}
	}
}
