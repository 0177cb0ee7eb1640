// Package cache is the build cache: what the engine has of it is listed, pruned and removed, and that of recent builds goes
// to another machine and comes from there. It builds nothing but what was built before, by pkg/build.
package cache

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/state"
)

// Kind is what a part of the cache is.
type Kind string

// The kinds of cache. Other is what the builder itself made: frontends and the like;
// Imported is what Import has brought to this host.
const (
	Layer   Kind = "layer"
	Mount   Kind = "mount"
	Context Kind = "context"
	Git     Kind = "git"
	Other   Kind = "other"

	Imported Kind = "imported"
)

// kinds are the kinds by BuildKit's names for them.
var kinds = []struct {
	kind Kind
	name client.UsageRecordType
}{
	{Layer, client.UsageRecordTypeRegular},
	{Mount, client.UsageRecordTypeCacheMount},
	{Context, client.UsageRecordTypeLocalSource},
	{Git, client.UsageRecordTypeGitCheckout},
	{Other, client.UsageRecordTypeFrontend},
	{Other, client.UsageRecordTypeInternal},
}

// Record is one part of the engine's build cache.
type Record struct {
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Mount is a cache mount's id in the Dockerfile, or its target where it has none there;
	// Project is whose it is, empty where all projects share it.
	Mount   string `json:"mount,omitempty"`
	Project string `json:"project,omitempty"`
	// From is the step that made it, or the directory that imported cache was of.
	From string `json:"from"`
	// Size is in bytes.
	Size     int64      `json:"size"`
	Created  time.Time  `json:"created"`
	LastUsed *time.Time `json:"lastUsed,omitempty"`
	Uses     int        `json:"uses"`
	// InUse says that a build uses it now, or that another record stands on it; Shared that an
	// image has it too, so that nothing is won by removing it.
	InUse   bool     `json:"inUse"`
	Shared  bool     `json:"shared"`
	Parents []string `json:"parents,omitempty"`
}

// List lists the engine's build cache, the largest first.
func List(ctx context.Context, s build.Session) ([]Record, error) {
	c, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing is written
	all, err := list(ctx, c)
	for _, i := range state.Imported(s.Layout) {
		all = append(all, importedRecord(i))
	}
	return all, err
}

func list(ctx context.Context, c *client.Client) ([]Record, error) {
	all, err := c.DiskUsage(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the build cache: %s: %w", build.Plain(err.Error()), err)
	}
	records := make([]Record, len(all))
	for i, u := range all {
		records[len(all)-1-i] = newRecord(*u)
	}
	return records, nil
}

func newRecord(u client.UsageInfo) Record {
	r := Record{
		ID: u.ID, Kind: Other, From: u.Description, Size: u.Size, Created: u.CreatedAt, LastUsed: u.LastUsedAt,
		Uses: u.UsageCount, InUse: u.InUse, Shared: u.Shared, Parents: u.Parents,
	}
	for _, k := range kinds {
		if k.name == u.RecordType {
			r.Kind = k.kind
		}
	}
	if r.Kind == Mount {
		r.Project, r.Mount, r.From = describedMount(u.Description)
	}
	return r
}

// describedMount reads BuildKit's description of a cache mount: `cached mount TARGET from STEP`,
// and ` with id "ID"` where the id is not the target. Nothing else tells of its id.
func describedMount(text string) (project, mount, step string) {
	text = strings.TrimPrefix(text, "cached mount ")
	const with = ` with id "`
	if i := strings.LastIndex(text, with); i >= 0 {
		if id, err := strconv.Unquote(text[i+len(with)-1:]); err == nil {
			project, mount = options.SplitMount(id)
			text = text[:i]
		}
	}
	target, step, _ := strings.Cut(text, " from ")
	if mount == "" {
		mount = target
	}
	return project, mount, strings.TrimPrefix(step, "exec ")
}

// Prune says what of the build cache goes.
type Prune struct {
	// All takes also what images still use, and what the builder itself made.
	All bool
	// Mounts takes also cache mounts. Without it they stay, unless Filters speak of types.
	Mounts bool
	// Unused is how long something must not have been used.
	Unused time.Duration
	// Sizes in bytes, 0 for none: Reserved is always kept, the least recently used above Most
	// goes, and so much that Free is free on the disk.
	Reserved, Most, Free int64
	// Filters are conditions in BuildKit's form that all must hold, as ParseFilter makes them.
	Filters []string
}

// ofType begins a condition on a record's type.
const ofType = "type"

// Run removes cache and tells what. What is in use stays.
func (p Prune) Run(ctx context.Context, s build.Session) ([]Record, error) {
	c, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // what was removed has been told
	known, err := list(ctx, c)
	if err != nil {
		return nil, err
	}
	filters := slices.Clone(p.Filters)
	if !p.Mounts && !slices.ContainsFunc(filters, func(f string) bool { return strings.HasPrefix(f, ofType) }) {
		filters = append(filters, ofType+"!="+string(client.UsageRecordTypeCacheMount))
	}
	opts := []client.PruneOption{client.WithKeepOpt(p.Unused, p.Reserved, p.Most, p.Free)}
	if len(filters) > 0 {
		opts = append(opts, filtered(strings.Join(filters, ",")))
	}
	if p.All {
		opts = append(opts, client.PruneAll)
	}
	removed, err := remove(ctx, c, known, opts...)
	if err != nil || !p.imported() {
		return removed, err
	}
	more, err := removeAll(s.Layout, func(i state.ImportedBuild) bool { return p.covers(i, time.Now()) })
	return append(removed, more...), err
}

// covers reports whether a build that was imported has, at now, been there long enough to go.
func (p Prune) covers(i state.ImportedBuild, now time.Time) bool {
	return now.Sub(i.Imported) >= p.Unused
}

// imported reports whether imported cache goes as well.
func (p Prune) imported() bool {
	if len(p.Filters) == 0 {
		return p.All
	}
	return slices.Equal(p.Filters, []string{condition(ofType, "==", string(Imported))})
}

// filtered has BuildKit take only what a filter is true of.
type filtered string

// SetPruneOption implements client.PruneOption.
func (f filtered) SetPruneOption(i *client.PruneInfo) { i.Filter = append(i.Filter, string(f)) }

// remove prunes. What BuildKit tells of a record then is less than what it lists.
func remove(ctx context.Context, c *client.Client, known []Record, opts ...client.PruneOption) ([]Record, error) {
	removed := make(chan client.UsageInfo)
	told := make(chan []Record)
	go func() {
		all := []Record{}
		for u := range removed {
			r := newRecord(u)
			if i := slices.IndexFunc(known, func(k Record) bool { return k.ID == r.ID }); i >= 0 {
				r = known[i]
			}
			all = append(all, r)
		}
		told <- all
	}()
	err := c.Prune(ctx, removed, opts...)
	close(removed)
	all := <-told
	if err != nil {
		return all, fmt.Errorf("pruning the build cache: %s: %w", build.Plain(err.Error()), err)
	}
	return all, nil
}

// Remove removes records, with what stands on them, and returns what has gone.
func Remove(ctx context.Context, s build.Session, ids []string) ([]Record, error) {
	c, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // what was removed has been told
	all, err := list(ctx, c)
	if err != nil {
		return nil, err
	}
	removed, err := removeAll(s.Layout, func(i state.ImportedBuild) bool { return slices.Contains(ids, i.Tag) })
	if err != nil {
		return removed, err
	}
	opts := []client.PruneOption{client.PruneAll}
	for _, id := range withChildren(all, ids) {
		if !slices.ContainsFunc(removed, func(r Record) bool { return r.ID == id }) {
			opts = append(opts, filtered("id=="+id))
		}
	}
	if len(opts) == 1 {
		return removed, nil
	}
	more, err := remove(ctx, c, all, opts...)
	return append(removed, more...), err
}

// withChildren adds to some records all those that stand on them.
func withChildren(all []Record, ids []string) []string {
	ids = slices.Clone(ids)
	for grown := true; grown; {
		grown = false
		for _, r := range all {
			onOne := slices.ContainsFunc(r.Parents, func(p string) bool { return slices.Contains(ids, p) })
			if onOne && !slices.Contains(ids, r.ID) {
				ids, grown = append(ids, r.ID), true
			}
		}
	}
	return ids
}
