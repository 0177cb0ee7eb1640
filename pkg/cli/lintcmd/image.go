package lintcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/cli"
	"github.com/linnet-dev/linnet/pkg/lens"
	"github.com/linnet-dev/linnet/pkg/lens/gather"
	"github.com/linnet-dev/linnet/pkg/lens/images"
)

const checkLong = `image check looks into an image: its configuration, its history, and each file of each of its layers,
removed ones too. It finds secrets, wasted bytes, leftovers, programs that give rights away, and a
command that cannot start. Each finding names the layer and what made it; where the image has its
provenance, the Dockerfile's line.

IMAGE is one of the engine's. With --input it is in an archive of "linnet save" or "docker save", in
the directory of an image layout, or on standard input (-); IMAGE then says which of several.

.linnet/lens.yaml of this directory, or above it, says which checks are wanted, and what is accepted.
docs/lens.md has all checks. No value of a secret is shown.

Exit codes: 0 when nothing is found at or above the level of --fail-on; 1 when something is, or when
linnet cannot read the image; 2 when linnet does not understand its command line.`

// newImage has what linnet adds to nerdctl's commands of images.
func newImage(env *cli.Env) *cobra.Command {
	c := &cobra.Command{Use: "image", Short: "Manage images"}
	c.AddCommand(newImageCheck(env))
	return c
}

type imageFlags struct {
	flags
	input, platform string
}

func newImageCheck(env *cli.Env) *cobra.Command {
	f := &imageFlags{}
	c := &cobra.Command{
		Use: "check [flags] IMAGE", Short: "check an image's configuration, history and files", Long: checkLong,
		Example: `  linnet image check app
  linnet image check --fail-on warning --format sarif app:1.2 > image.sarif
  linnet save app | linnet image check --input -`,
		RunE: func(cmd *cobra.Command, args []string) error { return checkImage(cmd.Context(), env, f, args) },
	}
	f.add(c)
	c.Flags().StringVar(&f.input, "input", "", "an archive, a directory with an image layout, or - for standard input, instead of the engine")
	c.Flags().StringVar(&f.platform, "platform", "", "which of an image's platforms, such as linux/arm64 (default: the engine's)")
	return c
}

func checkImage(ctx context.Context, env *cli.Env, f *imageFlags, args []string) error {
	if err := f.validate(env, "image check"); err != nil {
		return err
	}
	if len(args) > 1 || len(args) == 0 && f.input == "" {
		return cli.Usage(fmt.Errorf("image check: one IMAGE is needed, and there are %d", len(args)), "linnet image check IMAGE, or --input FILE")
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("finding the working directory: %w", err)
	}
	config, err := gather.Host{Dir: dir, Home: os.Getenv("HOME"), Today: time.Now()}.Config()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	i, err := readImage(ctx, env, f.input, strings.Join(args, ""), f.platform)
	if err != nil {
		return err
	}
	all := lens.RunImage(i, config)
	return f.tell(env, all, fmt.Sprintf("%s, %s", i.Name, plural(len(i.Layers), "layer")))
}

// readImage reads an image from where it is said to be.
func readImage(ctx context.Context, env *cli.Env, input, name, platform string) (i *lens.Image, err error) {
	want := images.Platform{Name: platform, Must: platform != ""}
	if input != "" {
		if want.Name == "" {
			want.Name = "linux/" + runtime.GOARCH
		}
		i, err = images.FromPath(ctx, input, env.Streams().In, name, want)
	} else {
		i, err = fromEngine(ctx, env, name, want)
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	return i, err
}
