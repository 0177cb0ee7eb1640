package buildcmd

import (
	"fmt"
	"io"
	"strconv"
	"time"

	units "github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/build/cache"
	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/report"
)

const cacheLong = `cache shows what builds have kept for the next ones, and removes it: layers that steps made, cache
mounts (RUN --mount=type=cache), and copies of build contexts.

Cache mounts are each project's own: the project is the setting build.project, or else the address of
the git remote "origin", or else the name in the compose file. The setting build.cacheMounts lets all
projects share them. No clean-up drops them but one that is asked to.

Exit codes: 0 when it was done; 1 when it was not; 2 when linnet does not understand its command line.`

func newCache(env *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use: "cache", Short: "list, prune and move the build cache", Long: cacheLong,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usage(fmt.Errorf("cache: unknown command %q", args[0]), "linnet cache --help lists the commands")
			}
			return cmd.Help()
		},
	}
	c.AddCommand(newCacheLs(env), newCacheDu(env), newCacheRm(env), newCachePrune(env), newCacheExport(env), newCacheImport(env))
	return c
}

func newCacheLs(env *cli.Env) *cobra.Command {
	var format string
	var all bool
	c := &cobra.Command{
		Use: "ls [flags]", Aliases: []string{"list"}, Short: "list the build cache", Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := NewSession(env)
			if err != nil {
				return err
			}
			records, err := cache.List(cmd.Context(), s)
			if err != nil {
				return err
			}
			return cli.Show(env.Streams(), format, records, func(w io.Writer) error {
				return listRecords(w, env.Streams().OutTerminal(), records, all)
			})
		},
	}
	cli.AddFormat(c, &format)
	c.Flags().BoolVar(&all, "no-trunc", false, "show what made a record in full")
	return c
}

// widest is how much of what made a record a list shows.
const widest = 60

func listRecords(w io.Writer, terminal bool, records []cache.Record, all bool) error {
	t := report.NewTable(terminal, "ID", "TYPE", "SIZE", "LAST USED", "USES", "PROJECT", "NAME")
	for _, r := range records {
		name := r.From
		if r.Kind == cache.Mount {
			name = r.Mount
		}
		if short := []rune(name); !all && len(short) > widest {
			name = string(short[:widest-3]) + "..."
		}
		project := r.Project
		if r.Kind == cache.Mount && project == "" {
			project = "(all)"
		}
		t.Row(r.ID, string(r.Kind), size(r.Size), ago(r.LastUsed), strconv.Itoa(r.Uses), project, name)
	}
	return t.Print(w)
}

func size(bytes int64) string { return units.HumanSize(float64(bytes)) }

func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return units.HumanDuration(time.Since(*t)) + " ago"
}

// usage is how much space the cache takes.
type usage struct {
	Kinds []kindUsage `json:"kinds"`
	// Mounts are the cache mounts by project and id; several builds at once may have had a copy each.
	Mounts []mountUsage `json:"mounts"`
	Total  int64        `json:"total"`
	// Reclaimable is what pruning with everything that can be asked for would free.
	Reclaimable int64 `json:"reclaimable"`
}

type kindUsage struct {
	Kind        cache.Kind `json:"kind"`
	Records     int        `json:"records"`
	Size        int64      `json:"size"`
	Reclaimable int64      `json:"reclaimable"`
}

type mountUsage struct {
	Project string `json:"project,omitempty"`
	Mount   string `json:"mount"`
	Size    int64  `json:"size"`
}

func newUsage(records []cache.Record) usage {
	u := usage{Mounts: []mountUsage{}}
	kinds := map[cache.Kind]*kindUsage{}
	for _, kind := range []cache.Kind{cache.Layer, cache.Mount, cache.Context, cache.Git, cache.Other, cache.Imported} {
		u.Kinds = append(u.Kinds, kindUsage{Kind: kind})
	}
	for i := range u.Kinds {
		kinds[u.Kinds[i].Kind] = &u.Kinds[i]
	}
	mounts := map[mountUsage]int{}
	for _, r := range records {
		k := kinds[r.Kind]
		k.Records++
		k.Size += r.Size
		u.Total += r.Size
		if !r.InUse && !r.Shared {
			k.Reclaimable += r.Size
			u.Reclaimable += r.Size
		}
		if r.Kind != cache.Mount {
			continue
		}
		key := mountUsage{Project: r.Project, Mount: r.Mount}
		at, ok := mounts[key]
		if !ok {
			at = len(u.Mounts)
			mounts[key] = at
			u.Mounts = append(u.Mounts, key)
		}
		u.Mounts[at].Size += r.Size
	}
	return u
}

func newCacheDu(env *cli.Env) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "du [flags]", Short: "how much space the build cache takes", Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := NewSession(env)
			if err != nil {
				return err
			}
			records, err := cache.List(cmd.Context(), s)
			if err != nil {
				return err
			}
			u := newUsage(records)
			return cli.Show(env.Streams(), format, u, func(w io.Writer) error { return listUsage(w, env.Streams().OutTerminal(), u) })
		},
	}
	cli.AddFormat(c, &format)
	return c
}

// kindNames are the kinds in words.
var kindNames = map[cache.Kind]string{
	cache.Layer: "layers", cache.Mount: "cache mounts", cache.Context: "context copies",
	cache.Git: "git checkouts", cache.Other: "the builder's own", cache.Imported: "imported",
}

func listUsage(w io.Writer, terminal bool, u usage) error {
	t := report.NewTable(terminal, "TYPE", "RECORDS", "SIZE", "RECLAIMABLE")
	records := 0
	for _, k := range u.Kinds {
		t.Row(kindNames[k.Kind], strconv.Itoa(k.Records), size(k.Size), size(k.Reclaimable))
		records += k.Records
	}
	t.Row("total", strconv.Itoa(records), size(u.Total), size(u.Reclaimable))
	if err := t.Print(w); err != nil || len(u.Mounts) == 0 {
		return err
	}
	fmt.Fprintln(w)
	m := report.NewTable(terminal, "CACHE MOUNT", "PROJECT", "SIZE")
	for _, one := range u.Mounts {
		project := one.Project
		if project == "" {
			project = "(all)"
		}
		m.Row(one.Mount, project, size(one.Size))
	}
	return m.Print(w)
}
