package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/ociindex"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// importedFile says, in a folder of imported cache, which build it is of.
const importedFile = "build.json"

// ImportedCache is the cache of a build that ImportCache has brought here.
type ImportedCache struct {
	ExportedBuild
	// Imported is when that was, and Size what it takes on this host's disk, in bytes.
	Imported time.Time `json:"imported"`
	Size     int64     `json:"size"`
}

// ImportCache copies exported cache from a folder of the host to where builds of the same project
// look from now on, and puts the images that they begin with into the image store where there are
// none of these names. A folder that docker's --cache-to type=local made does as well; it is taken
// for project's.
func (s Session) ImportCache(ctx context.Context, dir, project string) (e ExportedCache, err error) {
	to := s.state("imported")
	if to == "" {
		return e, errors.New("importing build cache: there is no folder to keep it in")
	}
	dir = s.Host.Abs(dir)
	e, err = readExported(dir)
	if errors.Is(err, fs.ErrNotExist) {
		e, err = dockersExport(dir, project)
	}
	if err != nil {
		return e, err
	}
	if project != "" {
		e.Builds = slices.DeleteFunc(e.Builds, func(b ExportedBuild) bool { return b.Project != project })
		if len(e.Builds) == 0 {
			return e, fmt.Errorf("importing build cache: %s has none of the project %q", dir, project)
		}
	}
	for _, b := range e.Builds {
		if err := importOne(ctx, dir, to, b); err != nil {
			return e, fmt.Errorf("importing build cache from %s: %w", dir, err)
		}
	}
	if e.Images, err = s.importImages(ctx, dir, e.Images); err != nil {
		return e, fmt.Errorf("importing the images that builds begin with: %w", err)
	}
	return e, nil
}

// importImages puts images into the image store and returns the names of those that were not there.
func (s Session) importImages(ctx context.Context, dir string, all []string) ([]string, error) {
	if len(all) == 0 {
		return nil, nil
	}
	if err := s.Guest.Ready(ctx); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, s.Guest, s.Snapshotter)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	from, err := local.NewStore(filepath.Join(dir, cacheImages))
	if err != nil {
		return nil, err
	}
	return st.CopyIn(ctx, from, all)
}

// dockersExport lists the tags of a folder that is none of ours.
func dockersExport(dir, project string) (ExportedCache, error) {
	e := ExportedCache{Images: []string{}}
	index, err := ociindex.NewStoreIndex(dir).Read()
	if err != nil || len(index.Manifests) == 0 {
		return e, &hint.Error{Err: fmt.Errorf("importing build cache: %s holds none", dir), Fix: "name a folder that `linnet cache export` or --cache-to type=local,dest=FOLDER has made"}
	}
	for _, m := range index.Manifests {
		if tag := m.Annotations[ocispecs.AnnotationRefName]; tag != "" {
			e.Builds = append(e.Builds, ExportedBuild{Tag: tag, Project: project, Folder: filepath.Base(dir)})
		}
	}
	return e, nil
}

// importOne copies one tag of a folder into a folder of its own, in the place of an earlier one.
func importOne(ctx context.Context, from, to string, b ExportedBuild) error {
	if b.Tag == "" || strings.ContainsAny(b.Tag, `/\`) || b.Tag[0] == '.' {
		return fmt.Errorf("%q cannot be a tag", b.Tag)
	}
	desc, err := ociindex.NewStoreIndex(from).Get(b.Tag)
	if err == nil && desc == nil {
		err = errors.New("there is no such tag")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.Tag, err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(to, ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = host.RemoveTree(fresh) }() // moved by then, or in vain
	store, err := local.NewStore(from)
	if err != nil {
		return err
	}
	c := ImportedCache{ExportedBuild: b, Imported: time.Now().UTC().Truncate(time.Second)}
	copyOne := images.HandlerFunc(func(ctx context.Context, d ocispecs.Descriptor) ([]ocispecs.Descriptor, error) {
		size, err := linkBlob(from, fresh, d)
		c.Size += size
		if err != nil {
			return nil, err
		}
		return images.Children(ctx, store, d)
	})
	if err := images.Walk(ctx, copyOne, *desc); err != nil {
		return err
	}
	if err := ociindex.NewStoreIndex(fresh).Put(*desc, ociindex.Tag(b.Tag)); err != nil {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := host.WriteFile(filepath.Join(fresh, importedFile), text, 0o600); err != nil {
		return err
	}
	if err := host.RemoveTree(filepath.Join(to, b.Tag)); err != nil {
		return err
	}
	return os.Rename(fresh, filepath.Join(to, b.Tag))
}

// linkBlob copies a blob, if need be; blobs are never changed, so that a second name will do. It
// returns the blob's size, or 0 when it was there.
func linkBlob(from, to string, d ocispecs.Descriptor) (int64, error) {
	if err := d.Digest.Validate(); err != nil {
		return 0, err
	}
	rel := filepath.Join("blobs", d.Digest.Algorithm().String(), d.Digest.Encoded())
	source, target := filepath.Join(from, rel), filepath.Join(to, rel)
	if _, err := os.Stat(target); err == nil {
		return 0, nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return 0, err
	}
	if os.Link(source, target) == nil {
		return d.Size, nil
	}
	in, err := os.Open(source)
	if err != nil {
		return 0, fmt.Errorf("the blob %s: %w", d.Digest, hint.Cause(err))
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(out, in)
	return d.Size, errors.Join(err, out.Close())
}

// Imported lists the cache that ImportCache has brought here.
func (s Session) Imported() (all []ImportedCache) {
	dir := s.state("imported")
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // nothing was ever imported
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name(), importedFile))
		var c ImportedCache
		if err == nil && json.Unmarshal(text, &c) == nil && c.Tag == entry.Name() {
			all = append(all, c)
		}
	}
	return all
}

func (c ImportedCache) record() CacheRecord {
	from := strings.TrimSpace(c.Folder + " " + c.Target)
	return CacheRecord{ID: c.Tag, Kind: CacheImported, Project: c.Project, From: from, Size: c.Size, Created: c.Imported}
}

func (s Session) removeImported(tag string) error {
	return host.RemoveTree(filepath.Join(s.state("imported"), tag))
}

// addImported has a build look into imported cache of its project. Cache whose project is not known
// may be anybody's, and a build that belongs to none may be of any.
func (s Session) addImported(j *job, o options.Options) {
	if o.NoCache || o.Request != "" {
		return
	}
	for _, c := range s.Imported() {
		if c.Project != "" && o.Project != "" && c.Project != o.Project {
			continue
		}
		attrs := map[string]string{"src": filepath.Join(s.state("imported"), c.Tag), "tag": c.Tag}
		j.opt.CacheImports = append(j.opt.CacheImports, client.CacheOptionsEntry{Type: "local", Attrs: attrs})
	}
}
