package lima

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Image is what a machine is made from.
type Image struct {
	// Key changes with the contents.
	Key string
	// Disk, Kernel and Initrd are paths; Cmdline is the kernel's command line, and Emulated the
	// one for a processor that is emulated.
	Disk, Kernel, Initrd, Cmdline, Emulated string
	// Packed is the kernel as the Virtualization framework takes it on x86_64, where QEMU is given
	// an unpacked one; elsewhere it is Kernel.
	Packed string
}

// ReadImage reads the directory of an image; its error is fs.ErrNotExist when there is none.
func ReadImage(dir string) (Image, error) {
	image := Image{
		Disk: filepath.Join(dir, "disk.raw"), Kernel: filepath.Join(dir, "kernel"), Initrd: filepath.Join(dir, "initrd"),
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return Image{}, fmt.Errorf("reading the image: %w", err)
	}
	var manifest struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return Image{}, fmt.Errorf("reading the image: %s/manifest.json: %w", dir, err)
	}
	if manifest.Key == "" {
		return Image{}, fmt.Errorf("reading the image: %s/manifest.json: it has no key", dir)
	}
	image.Key = manifest.Key
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	image.Cmdline = strings.TrimSpace(string(cmdline))
	image.Emulated = image.Cmdline
	if emulated, err := os.ReadFile(filepath.Join(dir, "cmdline.tcg")); err == nil {
		image.Emulated = strings.TrimSpace(string(emulated))
	}
	image.Packed = image.Kernel
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
