package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/vm"
)

// Image is what a machine is made from.
type Image struct {
	// Key changes with the contents. Arch is the architecture, as Lima names it, that it is for; "" is not known.
	Key, Arch string
	// Disk, Kernel and Initrd are paths; Cmdline is the kernel's command line, and Emulated the
	// one for a processor that is emulated.
	Disk, Kernel, Initrd, Cmdline, Emulated string
	// Packed is the kernel as the Virtualization framework takes it on x86_64, where QEMU is given
	// an unpacked one; elsewhere it is Kernel.
	Packed string
}

// Source is where an image is, or comes from.
type Source struct {
	// Dir is the image's directory, and Digest what it is known by; "" goes by the key in its manifest.
	Dir, Digest string
	// From is where Fetch brings it from, for people; "" when Dir is to be there.
	From string
	// Fetch makes Dir, and tells note what it is at. Made is called when a machine was made from the image. Both may be nil.
	Fetch func(ctx context.Context, note func(text string)) error
	Made  func(ctx context.Context) error
}

// read reads the image; of one that has to be fetched it is known only where it will be.
func (s Source) read() (Image, error) {
	if s.From != "" {
		image := imageIn(s.Dir)
		image.Key = s.Digest
		return image, nil
	}
	image, err := ReadImage(s.Dir)
	if err == nil && s.Digest != "" {
		image.Key = s.Digest
	}
	return image, err
}

// source is where the machine's image is: beside the client, unless the options say more.
func (m *Machine) source(ctx context.Context) (Source, error) {
	beside, err := ImageBeside(m.o.Layout, m.o.Facts.Arch)
	if err != nil {
		return Source{}, err
	}
	if m.o.Image != nil {
		return m.o.Image(ctx, m.o.Facts.Arch, beside)
	}
	return Source{Dir: beside}, nil
}

// ImageBeside is where an image stands that came with the client, for an architecture as Go names it.
func ImageBeside(l host.Layout, goarch string) (string, error) {
	arch, err := Facts{Arch: goarch}.arch()
	if err != nil {
		return "", hint.With(err, "set backend: native")
	}
	return l.Image(arch), nil
}

// ImagesInUse are the names of the virtual machines of a home, by what the image is known by that each was made from.
func ImagesInUse(l host.Layout) map[string][]string {
	used := map[string][]string{}
	machines, _ := os.ReadDir(l.LimaHome()) // without it there is none
	for _, m := range machines {
		text, err := os.ReadFile(filepath.Join(l.LimaHome(), m.Name(), "lima.yaml"))
		if shape, ok := vm.ParseShape(string(text)); err == nil && ok {
			used[shape.Image] = append(used[shape.Image], m.Name())
		}
	}
	return used
}

func imageIn(dir string) Image {
	image := Image{
		Disk: filepath.Join(dir, "disk.raw"), Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"),
	}
	image.Packed = image.Kernel
	return image
}

// ReadImage reads the directory of an image; its error is fs.ErrNotExist when there is none.
func ReadImage(dir string) (Image, error) {
	image := imageIn(dir)
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return Image{}, fmt.Errorf("reading the image: %w", err)
	}
	var manifest struct {
		Key  string `json:"key"`
		Arch string `json:"arch"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return Image{}, fmt.Errorf("reading the image: %s/manifest.json: %w", dir, err)
	}
	if manifest.Key == "" {
		return Image{}, fmt.Errorf("reading the image: %s/manifest.json: it has no key", dir)
	}
	image.Key, image.Arch = manifest.Key, manifest.Arch
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	image.Cmdline = strings.TrimSpace(string(cmdline))
	image.Emulated = image.Cmdline
	if emulated, err := os.ReadFile(filepath.Join(dir, "cmdline.tcg")); err == nil {
		image.Emulated = strings.TrimSpace(string(emulated))
	}
	if packed := filepath.Join(dir, "kernel.packed"); exists(packed) {
		image.Packed = packed
	}
	for _, part := range []string{image.Disk, image.Kernel, image.Initrd} {
		_, statErr := os.Stat(part)
		err = errors.Join(err, statErr)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("a part of %s is missing", dir)
		}
		return Image{}, fmt.Errorf("reading the image: %w", err)
	}
	return image, nil
}
