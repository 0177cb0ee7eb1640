package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/plugins/content/local"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/buildkit/client/ociindex"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/localdir"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// A directory of exported cache is what docker's --cache-to type=local makes, with a tag for each
// build; two things of ours are beside: what the tags are, and the images that builds begin with.
const (
	cacheFile   = "linnet-cache.json"
	cacheImages = "images"
)

// Exported says what a directory of exported cache holds.
type Exported struct {
	Builds []state.ExportedBuild `json:"builds"`
	// Images are those that builds begin with, as NAME:TAG@DIGEST.
	Images []string `json:"images"`
}

// rebuildable are recent builds, the last one first, of a project when that is not empty. It leaves out what cannot be
// built any more: its directory is gone.
func rebuildable(l host.Layout, project string) (all []state.Recipe) {
	tags := map[string]bool{}
	for _, r := range state.Recent(l) {
		switch {
		case project != "" && r.Options.Project != project, localdir.Check(r.Options.Context) != nil:
		case tags[r.Tag()]: // the same build in another checkout
		default:
			tags[r.Tag()] = true
			all = append(all, r)
		}
	}
	return all
}

// Export writes the cache of recent builds into a directory of the host. It builds them once
// more, since BuildKit gives cache away only then; what has not changed is not run again. Each is
// shown by what display returns for its context. Warnings are what is missing.
func Export(ctx context.Context, s build.Session, dir, project string, display func(context string) (build.Display, error)) (e Exported, warnings []string, err error) {
	all := rebuildable(s.Layout, project)
	if len(all) == 0 {
		return e, nil, &hint.Error{Err: errors.New("exporting the build cache: nothing was built here lately"), Fix: "linnet build, then export"}
	}
	dir = s.Host.Abs(dir)
	if e, err = readExported(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, nil, err
	}
	begins := map[string]bool{}
	var failed error
	for _, r := range all {
		d, err := display(r.Options.Context)
		if err != nil {
			return e, warnings, err
		}
		images, err := exportOne(ctx, s, dir, r, d)
		if ctx.Err() != nil {
			return e, warnings, context.Cause(ctx)
		}
		if err != nil {
			failed = fmt.Errorf("exporting the build cache of %s: %w", r.Options.Context, err)
			warnings = append(warnings, failed.Error())
			continue
		}
		for _, image := range images {
			begins[image] = true
		}
		e.put(state.ExportedBuild{
			Tag: r.Tag(), Project: r.Options.Project, Dir: filepath.Base(r.Options.Context),
			File: r.Options.File, Target: r.Options.Target, Platforms: r.Options.Platforms, Exported: time.Now().UTC().Truncate(time.Second),
		})
	}
	if failed != nil && len(warnings) == len(all) {
		return e, nil, failed
	}
	missing, err := exportImages(ctx, s, dir, &e, slices.Sorted(maps.Keys(begins)))
	if err != nil {
		return e, warnings, fmt.Errorf("exporting the images that builds begin with: %w", err)
	}
	for _, image := range missing {
		warnings = append(warnings, image+" is not whole in the engine: without a network, builds that begin with it will not find it")
	}
	return e, warnings, writeExported(dir, e)
}

// put adds a build in the place of an earlier one of the same tag.
func (e *Exported) put(b state.ExportedBuild) {
	if i := slices.IndexFunc(e.Builds, func(o state.ExportedBuild) bool { return o.Tag == b.Tag }); i >= 0 {
		e.Builds[i] = b
		return
	}
	e.Builds = append(e.Builds, b)
}

// exportOne builds once more what was built, for its cache alone, and returns the images it begins with.
func exportOne(ctx context.Context, s build.Session, dir string, r state.Recipe, d build.Display) (images []string, err error) {
	s.Host.Dir, s.Host.Stdin = r.Dir, nil
	o := r.Options
	o.Outputs = []options.Output{{Type: "cacheonly"}}
	o.CacheTo = []options.Cache{{Type: "local", Attrs: map[string]string{"dest": dir, "tag": r.Tag(), "mode": "max", "reset": "true"}}}
	return s.Rebuild(ctx, o, d)
}

func readExported(dir string) (Exported, error) {
	e := Exported{Builds: []state.ExportedBuild{}, Images: []string{}}
	text, err := os.ReadFile(filepath.Join(dir, cacheFile))
	if err != nil {
		return e, fmt.Errorf("reading %s: %w", filepath.Join(dir, cacheFile), hint.Cause(err))
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("reading %s: %w", filepath.Join(dir, cacheFile), err)
	}
	return e, nil
}

func writeExported(dir string, e Exported) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", cacheFile, err)
	}
	return host.WriteFile(filepath.Join(dir, cacheFile), append(text, '\n'), 0o644)
}

// exportImages puts the images that builds begin with beside their cache, with all platforms that
// are here, and returns those that are not whole.
func exportImages(ctx context.Context, s build.Session, dir string, e *Exported, all []string) (missing []string, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	st, err := store.Open(ctx, s.Guest, s.Snapshotter)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	dir = filepath.Join(dir, cacheImages)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	to, err := local.NewStore(dir)
	if err != nil {
		return nil, err
	}
	for _, image := range all {
		name, desc, err := st.CopyOut(ctx, to, image)
		if err == nil && name == "" {
			continue
		}
		if cerrdefs.IsNotFound(err) {
			missing = append(missing, image)
			continue
		}
		if err != nil {
			return missing, fmt.Errorf("%s: %w", image, err)
		}
		if err := ociindex.NewStoreIndex(dir).Put(desc, ociindex.Name(name)); err != nil {
			return missing, fmt.Errorf("%s: %w", image, err)
		}
		e.Images = slices.DeleteFunc(e.Images, func(o string) bool { return strings.HasPrefix(o, name+"@") })
		e.Images = append(e.Images, image)
	}
	return missing, nil
}
