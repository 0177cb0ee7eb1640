package buildcmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	units "github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/build/cache"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/hint"
)

func newCacheRm(env *cli.Env) *cobra.Command {
	var project string
	c := &cobra.Command{
		Use: "rm [flags] ID|MOUNT...", Aliases: []string{"remove"}, Short: "remove records of the build cache",
		Long: `rm removes what ` + "`linnet cache ls`" + ` lists: by its ID or the beginning of it, or a cache mount by its name.
What other records stand on goes with them; what a build uses at the moment stays.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return nil
			}
			return cli.Usage(errors.New("cache rm: what is to be removed is missing"), "linnet cache ls lists what there is")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, _, err := NewSession(env)
			if err != nil {
				return err
			}
			records, err := cache.List(cmd.Context(), s)
			if err != nil {
				return err
			}
			var ids []string
			for _, arg := range args {
				found, err := find(records, arg, project, cmd.Flags().Changed("project"))
				if err != nil {
					return err
				}
				ids = append(ids, found...)
			}
			removed, err := cache.Remove(cmd.Context(), s, ids)
			for _, r := range removed {
				fmt.Fprintln(env.Streams().Out, r.ID)
			}
			if err != nil {
				return err
			}
			return left(ids, removed)
		},
	}
	c.Flags().StringVar(&project, "project", "", "the project whose cache mount it is; empty for one that all share")
	return c
}

// left says what was to be removed and is there still.
func left(ids []string, removed []cache.Record) error {
	for _, id := range ids {
		if !slices.ContainsFunc(removed, func(r cache.Record) bool { return r.ID == id }) {
			return &hint.Error{Err: fmt.Errorf("removing %s: a build uses it", id), Fix: "try again when the build has ended"}
		}
	}
	return nil
}

// find returns the records that a word names.
func find(records []cache.Record, word, project string, ofProject bool) ([]string, error) {
	var ids, mounts []string
	var projects []string
	for _, r := range records {
		if r.ID == word {
			return []string{word}, nil
		}
		if strings.HasPrefix(r.ID, word) {
			ids = append(ids, r.ID)
		}
		if r.Kind == cache.Mount && r.Mount == word && (!ofProject || r.Project == project) {
			mounts = append(mounts, r.ID)
			if !slices.Contains(projects, r.Project) {
				projects = append(projects, r.Project)
			}
		}
	}
	switch {
	case len(projects) > 1:
		return nil, &hint.Error{Err: fmt.Errorf("removing %s: %d projects have such a cache mount", word, len(projects)), Fix: "say which one: --project " + strings.Join(projects, ", or --project ")}
	case len(mounts) > 0:
		return mounts, nil
	case len(ids) == 1:
		return ids, nil
	case len(ids) > 1:
		return nil, &hint.Error{Err: fmt.Errorf("removing %s: %d records begin so", word, len(ids)), Fix: "write more of the ID"}
	}
	return nil, &hint.Error{Err: fmt.Errorf("removing %s: there is no such record or cache mount", word), Fix: "linnet cache ls lists what there is"}
}

// pruneFlags are those of docker's builder prune and buildx prune, and --mounts.
type pruneFlags struct {
	all, mounts, force, verbose bool
	filters                     []string
	reserved, most, free        string
	builder, buildkitHost       string
}

const pruneLong = `prune removes build cache that no build uses: layers and context copies, and not what images still
use. Cache mounts stay unless --mounts, or a filter on the type, asks for them.

Filters are docker's: until=24h (not used for so long), type=layer|mount|context|git|imported, id=ID,
description~=TEXT, shared, private, mutable; ! negates, as in type!=context.`

func newCachePrune(env *cli.Env) *cobra.Command {
	f := &pruneFlags{}
	c := &cobra.Command{
		Use: "prune [flags]", Short: "remove build cache that is not in use", Long: pruneLong, Args: cli.NoArgs,
		Example: `  linnet cache prune --filter until=72h
  linnet cache prune --reserved-space 10GB --force
  linnet cache prune --filter type=mount --filter until=720h`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, env) },
	}
	flags := c.Flags()
	flags.BoolVarP(&f.all, "all", "a", false, "also what images still use, and what the builder itself made")
	flags.BoolVar(&f.mounts, "mounts", false, "also cache mounts")
	flags.BoolVarP(&f.force, "force", "f", false, "do not ask")
	flags.BoolVar(&f.verbose, "verbose", false, "tell what each record was")
	flags.StringArrayVar(&f.filters, "filter", nil, "only what this is true of: until=24h, type=mount, ...")
	flags.StringVar(&f.reserved, "reserved-space", "", "keep so much in any case, the most recently used")
	flags.StringVar(&f.reserved, "keep-storage", "", "--reserved-space")
	flags.StringVar(&f.most, "max-used-space", "", "remove only what is above this size")
	flags.StringVar(&f.free, "min-free-space", "", "remove only until so much of the disk is free")
	flags.StringVar(&f.builder, "builder", "", "docker's choice of a builder: there is one, default")
	flags.StringVar(&f.buildkitHost, "buildkit-host", "", "nerdctl's choice of a BuildKit: there is one, the engine's")
	for _, name := range []string{"keep-storage", "builder", "buildkit-host"} {
		flags.Lookup(name).Hidden = true
	}
	return c
}

func (f *pruneFlags) run(cmd *cobra.Command, env *cli.Env) error {
	p, err := f.prune()
	if err != nil {
		return err
	}
	if !f.force {
		if err := f.confirm(cmd, env); err != nil {
			return err
		}
	}
	s, _, err := NewSession(env)
	if err != nil {
		return err
	}
	removed, err := p.Run(cmd.Context(), s)
	if err != nil {
		return err
	}
	return f.tell(env.Streams().Out, removed)
}

// prune reads the flags.
func (f *pruneFlags) prune() (cache.Prune, error) {
	p := cache.Prune{All: f.all, Mounts: f.mounts}
	v := values{builder: f.builder, buildkitHost: f.buildkitHost}
	if err := v.refuse(); err != nil {
		return p, err
	}
	for _, text := range f.filters {
		if err := p.AddFilter(text); err != nil {
			return p, err
		}
	}
	for _, s := range []struct {
		flag, text string
		to         *int64
	}{
		{"reserved-space", f.reserved, &p.Reserved},
		{"max-used-space", f.most, &p.Most},
		{"min-free-space", f.free, &p.Free},
	} {
		if s.text == "" {
			continue
		}
		bytes, err := units.RAMInBytes(s.text)
		if err != nil || bytes < 0 {
			return p, sizeError(s.flag, s.text)
		}
		*s.to = bytes
	}
	return p, nil
}

// confirm asks on a terminal; off one it refuses and names the flag.
func (f *pruneFlags) confirm(cmd *cobra.Command, env *cli.Env) error {
	what := "build cache that no image uses"
	if f.all {
		what = "all build cache"
	}
	if len(f.filters) > 0 {
		what += ", as far as the filters say"
	}
	if f.mounts {
		what += ", and cache mounts"
	}
	return cli.Confirm(cmd.Context(), env.Streams(), what)
}

// tell says what has gone, in docker's words.
func (f *pruneFlags) tell(w io.Writer, removed []cache.Record) error {
	if len(removed) > 0 {
		fmt.Fprintln(w, "Deleted build cache objects:")
	}
	var total int64
	for _, r := range removed {
		total += r.Size
		line := r.ID
		if f.verbose {
			line += "\t" + string(r.Kind) + "\t" + size(r.Size) + "\t" + strings.TrimSpace(r.Mount+" "+r.From)
		}
		fmt.Fprintln(w, line)
	}
	if len(removed) > 0 {
		fmt.Fprintln(w)
	}
	if _, err := fmt.Fprintln(w, "Total reclaimed space: "+size(total)); err != nil {
		return fmt.Errorf("telling what was removed: %w", err)
	}
	return nil
}
