package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/linnet-dev/linnet/pkg/guestimage"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/report"
)

// newImage is `linnet vm image ...`. None of it needs a virtual machine, nor makes one.
func (a *app) newImage() *cobra.Command {
	c := group("image", "the images that virtual machines are made from")
	c.Long = `image handles the images that virtual machines are made from. No command of it is needed: the first
command that needs the machine fetches its image, if it is not there.`
	c.AddCommand(a.newImageList(), a.newImagePull(), a.newImageImport(), a.newImageRemove())
	return c
}

func (a *app) newImageList() *cobra.Command {
	var format string
	var quiet bool
	c := &cobra.Command{
		Use: "ls", Short: "list the images on this host", Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, err := a.images()
			if err != nil {
				return err
			}
			all, err := i.list(cmd.Context())
			if err != nil {
				return err
			}
			return Show(a.streams, format, all, func(w io.Writer) error { return printImages(w, all, quiet, a.streams.OutTerminal()) })
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show whole digests only")
	AddFormat(c, &format)
	return c
}

func printImages(w io.Writer, all []listedImage, quiet, terminal bool) error {
	if quiet {
		for _, i := range all {
			fmt.Fprintln(w, i.Digest)
		}
		return nil
	}
	t := report.NewTable(terminal, "DIGEST", "SIZE", "CREATED", "STATE", "USED BY")
	for _, i := range all {
		t.Row(i.Digest.Short(), bytesText(i.Size), i.Created.Local().Format(time.DateTime), i.state(), strings.Join(i.UsedBy, ", "))
	}
	return t.Print(w)
}

func (i listedImage) state() string {
	switch {
	case i.Partial:
		return "partial"
	case i.Wanted:
		return "wanted"
	}
	return "there"
}

func (a *app) newImagePull() *cobra.Command {
	return &cobra.Command{
		Use: "pull [URL]", Short: "fetch an image: the one that the settings choose, or from a URL", Args: cobra.MaximumNArgs(1),
		Long: `pull fetches an image and prints its digest: the one that the next virtual machine is made from, or
the one at a URL, with #sha256: and its digest behind it where it is not the release's.
What has come stays when it is interrupted: the next pull goes on from there.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.images()
			if err != nil {
				return err
			}
			from, err := i.pulled(cmd.Context(), args)
			if err != nil {
				return fmt.Errorf("vm image pull: %w", err)
			}
			return a.bring("fetching "+from.Place(), func(note guestimage.Note) (guestimage.Digest, error) {
				return from.Digest, i.store.Fetch(cmd.Context(), from, note)
			})
		},
	}
}

// pulled is what is fetched.
func (i *images) pulled(ctx context.Context, args []string) (guestimage.Source, error) {
	if len(args) > 0 {
		return i.wish.Release.Complete(args[0], i.wish.Arch)
	}
	choice, err := i.wanted(ctx)
	if err == nil && choice.Digest == "" {
		err = hint.With(fmt.Errorf("the image is the directory %s, which is used where it is", choice.Dir), "name a URL")
	}
	return choice.Source, err
}

// bring shows a step, and prints the digest of what it has brought.
func (a *app) bring(name string, do func(note guestimage.Note) (guestimage.Digest, error)) error {
	step := a.Report().Step(name)
	d, err := do(step.Note)
	if err != nil {
		step.Fail(err)
		return fmt.Errorf("%s: %w", name, err)
	}
	step.Done()
	_, err = fmt.Fprintln(a.streams.Out, d)
	return err
}

func (a *app) newImageImport() *cobra.Command {
	var digest string
	c := &cobra.Command{
		Use: "import FILE|-", Short: "take an image from a file, or from standard input", Args: cobra.ExactArgs(1),
		Long: `import takes a packed image (` + guestimage.FileName("VERSION", "ARCH") + `) and prints its digest. It is held to
--digest, or to the digest that this linnet knows of its release.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.images()
			if err != nil {
				return err
			}
			want := i.wish.Release.Digests[i.wish.Arch]
			if digest != "" {
				if want, err = guestimage.ParseDigest(digest); err != nil {
					return Usage(fmt.Errorf("vm image import: --digest: %w", err), hint.Of(err))
				}
			}
			return a.importImage(cmd.Context(), i, args[0], want)
		},
	}
	c.Flags().StringVar(&digest, "digest", "", "the SHA-256 that the file has to have: sha256:...")
	return c
}

func (a *app) importImage(ctx context.Context, i *images, path string, want guestimage.Digest) error {
	name := "importing " + path
	file := a.streams.In
	if path == "-" && a.streams.InTerminal() {
		return Usage(errors.New("vm image import: standard input is a terminal"), "linnet vm image import - <FILE")
	}
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return hint.With(fmt.Errorf("%s: %w", name, hint.Cause(err)), "name a packed image, or - for standard input")
		}
		defer opened.Close()
		file = opened
	}
	if want == "" {
		a.note("a development build knows no digest: the image is taken on your word (--digest)")
	}
	var d guestimage.Digest
	err := a.bring(name, func(note guestimage.Note) (_ guestimage.Digest, err error) {
		d, err = i.store.Import(ctx, file, want, note)
		var other *guestimage.MismatchError
		if errors.As(err, &other) {
			err = hint.With(err, "if you trust it: --digest "+string(other.Has))
		}
		return d, err
	})
	if err != nil {
		return err
	}
	if wanted, err := i.wanted(ctx); err != nil || wanted.Digest != d {
		a.note("it is used when vm.image is its digest")
	}
	return nil
}

func (a *app) newImageRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm DIGEST...", Short: "remove images that no virtual machine uses", Args: cobra.MinimumNArgs(1),
		Long: `rm removes images by their digests, or the beginnings of those, and what has come of one. It refuses an
image that a virtual machine was made from.`,
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.images()
			if err != nil {
				return err
			}
			var failed error
			for _, typed := range args {
				d, err := i.removable(typed)
				if err == nil {
					err = i.store.Remove(cmd.Context(), d, a.note)
				}
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("vm image rm: %w", err))
					continue
				}
				fmt.Fprintln(a.streams.Out, d)
			}
			return failed
		},
	}
}

// completeImages completes the digests of images that are here.
func (a *app) completeImages(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	i, err := a.images()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := i.list(a.ctx) // nothing to complete
	var words []cobra.Completion
	for _, image := range all {
		about := bytesText(image.Size)
		if len(image.UsedBy) > 0 {
			about += ", used by " + strings.Join(image.UsedBy, ", ")
		}
		words = append(words, cobra.CompletionWithDesc(image.Digest.Short(), about))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
