package cache

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
	"github.com/moby/buildkit/client/ociindex"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/build/store"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
)

// Import copies exported cache from a directory of the host to where builds of the same project
// look from now on, and puts the images that they begin with into the image store where there are
// none of these names. A directory that docker's --cache-to type=local made does as well; it is taken
// for project's.
func Import(ctx context.Context, s build.Session, dir, project string) (e Exported, err error) {
	if s.Layout.Home == "" {
		return e, errors.New("importing build cache: there is no directory to keep it in")
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
		e.Builds = slices.DeleteFunc(e.Builds, func(b state.ExportedBuild) bool { return b.Project != project })
		if len(e.Builds) == 0 {
			return e, fmt.Errorf("importing build cache: %s has none of the project %q", dir, project)
		}
	}
	for _, b := range e.Builds {
		if err := importOne(ctx, dir, s.Layout.ImportedCache(), b); err != nil {
			return e, fmt.Errorf("importing build cache from %s: %w", dir, err)
		}
	}
	if e.Images, err = importImages(ctx, s, dir, e.Images); err != nil {
		return e, fmt.Errorf("importing the images that builds begin with: %w", err)
	}
	return e, nil
}

// importImages puts images into the image store and returns the names of those that were not there.
func importImages(ctx context.Context, s build.Session, dir string, all []string) ([]string, error) {
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

// dockersExport lists the tags of a directory that is none of ours.
func dockersExport(dir, project string) (Exported, error) {
	e := Exported{Images: []string{}}
	index, err := ociindex.NewStoreIndex(dir).Read()
	if err != nil || len(index.Manifests) == 0 {
		return e, &hint.Error{Err: fmt.Errorf("importing build cache: %s holds none", dir), Fix: "name a directory that `linnet cache export` or --cache-to type=local,dest=DIRECTORY has made"}
	}
	for _, m := range index.Manifests {
		if tag := m.Annotations[ocispecs.AnnotationRefName]; tag != "" {
			e.Builds = append(e.Builds, state.ExportedBuild{Tag: tag, Project: project, Dir: filepath.Base(dir)})
		}
	}
	return e, nil
}

// importOne copies one tag of a directory into a directory of its own, in the place of an earlier one.
func importOne(ctx context.Context, from, to string, b state.ExportedBuild) error {
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
	c := state.ImportedBuild{ExportedBuild: b, Imported: time.Now().UTC().Truncate(time.Second)}
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
	if err := host.WriteFile(filepath.Join(fresh, state.ImportedFile), text, 0o600); err != nil {
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

func importedRecord(c state.ImportedBuild) Record {
	from := strings.TrimSpace(c.Dir + " " + c.Target)
	return Record{ID: c.Tag, Kind: Imported, Project: c.Project, From: from, Size: c.Size, Created: c.Imported}
}

// removeAll removes imported cache and tells what.
func removeAll(l host.Layout, goes func(state.ImportedBuild) bool) ([]Record, error) {
	removed := []Record{}
	for _, i := range state.Imported(l) {
		if !goes(i) {
			continue
		}
		if err := removeImported(l, i.Tag); err != nil {
			return removed, err
		}
		removed = append(removed, importedRecord(i))
	}
	return removed, nil
}

func removeImported(l host.Layout, tag string) error {
	return host.RemoveTree(filepath.Join(l.ImportedCache(), tag))
}
