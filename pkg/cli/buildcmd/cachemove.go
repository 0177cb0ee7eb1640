package buildcmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/cache"
	"github.com/linnet-dev/linnet/pkg/cli"
)

const exportLong = `export writes the cache of what was built here lately into a directory, for another machine to import:
the cache of every step, and the images that the builds begin with. Cache mounts are not in it.

BuildKit gives its cache away only while it builds, so each build is done once more, without a
result: steps whose input has not changed do not run. The directory is also what docker's
--cache-from type=local takes. Exporting there again replaces the cache of the same builds.`

func newCacheExport(env *cli.Env) *cobra.Command {
	var project, format, progress string
	c := &cobra.Command{
		Use: "export [flags] DIR", Short: "write the build cache into a directory", Long: exportLong, Args: one("DIR"),
		Example: "  linnet build -t app . && linnet cache export ./cache",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, _, err := NewSession(env)
			if err != nil {
				return err
			}
			mode := Progress(env)
			if cmd.Flags().Changed("progress") {
				mode = progress
			}
			ctx, stop := Interruptible(cmd.Context())
			defer stop()
			e, warnings, err := cache.Export(ctx, s, args[0], project, func(context string) (build.Display, error) {
				if mode != "quiet" && mode != "rawjson" {
					fmt.Fprintln(env.Streams().Err, "exporting the cache of "+context)
				}
				return build.NewDisplay(env.Streams().Err, mode)
			})
			for _, w := range warnings {
				fmt.Fprintln(env.Streams().Err, "warning:", w)
			}
			if err != nil {
				return Ended(ctx, err)
			}
			return cli.Show(env.Streams(), format, e, func(w io.Writer) error { return tellMoved(w, "exported", e) })
		},
	}
	c.Flags().StringVar(&project, "project", "", "only what belongs to this project")
	c.Flags().StringVar(&progress, "progress", "auto", "how progress is shown: auto, tty, plain, rawjson, quiet")
	cli.AddFormat(c, &format)
	return c
}

const importLong = `import copies build cache from a directory that ` + "`linnet cache export`" + ` has made, here or on another machine.
Builds of the same project look into it from now on; where a project has no name that is the same
everywhere, every build does. Images that these builds begin with are put into the image store unless
there are images of their names.

A directory that docker's --cache-to type=local made can be imported as well; --project says whose it is.
` + "`linnet cache ls`" + ` lists imported cache, and ` + "`linnet cache rm`" + ` removes it.`

func newCacheImport(env *cli.Env) *cobra.Command {
	var project, format string
	c := &cobra.Command{
		Use: "import [flags] DIR", Short: "read build cache from a directory", Long: importLong, Args: one("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, _, err := NewSession(env)
			if err != nil {
				return err
			}
			ctx, stop := Interruptible(cmd.Context())
			defer stop()
			e, err := cache.Import(ctx, s, args[0], project)
			if err != nil {
				return Ended(ctx, err)
			}
			return cli.Show(env.Streams(), format, e, func(w io.Writer) error { return tellMoved(w, "imported", e) })
		},
	}
	c.Flags().StringVar(&project, "project", "", "only what belongs to this project")
	cli.AddFormat(c, &format)
	return c
}

// one takes a single positional.
func one(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return cli.Usage(fmt.Errorf("%s takes one %s, got %q", cmd.Name(), name, args), cmd.CommandPath()+" --help")
	}
}

// tellMoved says what was exported or imported.
func tellMoved(w io.Writer, verb string, e cache.Exported) error {
	var err error
	for _, b := range e.Builds {
		what := b.Project
		if what == "" {
			what = b.Dir
		}
		if b.Target != "" {
			what += " (" + b.Target + ")"
		}
		_, e := fmt.Fprintln(w, verb+" the cache of "+what)
		err = errors.Join(err, e)
	}
	for _, image := range e.Images {
		_, e := fmt.Fprintln(w, verb+" the image "+image)
		err = errors.Join(err, e)
	}
	return err
}
