package cli

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"

	"github.com/linnet-dev/linnet/pkg/agent"
	"github.com/linnet-dev/linnet/pkg/guestimage"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/lima"
	"github.com/linnet-dev/linnet/pkg/settings"
)

// images are those of a home that virtual machines are made from, and what decides which one is wanted.
type images struct {
	store  *guestimage.Store
	layout host.Layout
	wish   guestimage.Wish
}

func openImages(l host.Layout, s *settings.Settings) *images {
	home, _ := os.UserHomeDir() // without one, ~ is no path
	return &images{
		store: guestimage.Open(l), layout: l,
		wish: guestimage.Wish{
			Setting: string(s.VM.Image), Home: home, Release: guestimage.OwnRelease(agent.Version), Arch: runtime.GOARCH,
		},
	}
}

// images opens those of this home.
func (a *app) images() (*images, error) {
	l, err := a.Layout()
	if err != nil {
		return nil, err
	}
	s, err := a.Settings()
	if err != nil {
		return nil, err
	}
	return openImages(l, s), nil
}

// source is where a machine's image is.
func (i *images) source(ctx context.Context, arch, beside string) (lima.Source, error) {
	choice, err := i.choose(ctx, arch, beside)
	if err != nil {
		return lima.Source{}, err
	}
	s := lima.Source{Dir: choice.Dir, Digest: string(choice.Digest)}
	s.Fetch = func(ctx context.Context, note func(string)) error { return i.store.Fetch(ctx, choice.Source, note) }
	s.Made = func(ctx context.Context) error { return i.prune(ctx, choice.Digest) }
	if !choice.There {
		s.From = choice.Source.Place()
	}
	return s, nil
}

func (i *images) choose(ctx context.Context, arch, beside string) (guestimage.Choice, error) {
	wish := i.wish
	wish.Arch, wish.Beside = arch, beside
	return i.store.Choose(ctx, wish)
}

// wanted is the image that the next virtual machine of this host is made from.
func (i *images) wanted(ctx context.Context) (guestimage.Choice, error) {
	beside, err := lima.ImageBeside(i.layout, i.wish.Arch)
	if err != nil {
		return guestimage.Choice{}, err
	}
	return i.choose(ctx, i.wish.Arch, beside)
}

// prune removes the images that no virtual machine uses, but for the one that is wanted.
func (i *images) prune(ctx context.Context, wanted guestimage.Digest) error {
	if _, err := os.Stat(i.layout.Images()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	used := lima.ImagesInUse(i.layout)
	return i.store.Prune(ctx, func(d guestimage.Digest) bool { return d == wanted || len(used[string(d)]) > 0 })
}

// listedImage is an image as it is listed.
type listedImage struct {
	guestimage.Image
	// UsedBy names the virtual machines that were made from it; Wanted says that the next one is.
	UsedBy []string `json:"usedBy"`
	Wanted bool     `json:"wanted"`
}

func (i *images) list(ctx context.Context) ([]listedImage, error) {
	all, err := i.store.List()
	if err != nil {
		return nil, err
	}
	wanted, _ := i.wanted(ctx) // why there is none, is no matter of those that are there
	used := lima.ImagesInUse(i.layout)
	listed := make([]listedImage, len(all))
	for n, image := range all {
		by := slices.Concat([]string{}, used[string(image.Digest)])
		listed[n] = listedImage{Image: image, UsedBy: by, Wanted: image.Digest == wanted.Digest}
	}
	return listed, nil
}

// removable is the image that a user names, unless a virtual machine uses it.
func (i *images) removable(typed string) (guestimage.Digest, error) {
	d, err := i.store.Find(typed)
	if err != nil {
		return "", err
	}
	if by := lima.ImagesInUse(i.layout)[string(d)]; len(by) > 0 {
		return "", hint.New("the virtual machine "+by[0]+" was made from "+d.Short(), "linnet vm rm removes the machine, and keeps its data")
	}
	return d, nil
}
