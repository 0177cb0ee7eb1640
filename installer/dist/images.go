package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/deps"
)

// imageName is the name of the guest's packed image for an architecture.
func (d *dist) imageName(arch string) string {
	return "linnet-guest-" + d.release.Name() + "-" + arch + ".tar.zst"
}

// takeImages copies the guest's images into the release, and notes their digests: the client is linked with them, and so takes no other.
func (d *dist) takeImages(targets []target) error {
	d.digests = map[string]string{}
	for _, t := range targets {
		if _, known := d.digests[t.Arch]; known {
			continue
		}
		name := d.imageName(t.Arch)
		from := filepath.Join(d.images, name)
		sum, err := deps.Digest(from)
		switch {
		case errors.Is(err, fs.ErrNotExist) && d.strict:
			return &hintError{fmt.Errorf("there is no image for guests with %s: no %s", t.Arch, from), "make pack-image ARCH=" + t.Arch}
		case errors.Is(err, fs.ErrNotExist):
			d.say("no image for guests with %s: the client knows no digest of one", t.Arch)
		case err != nil:
			return err
		default:
			if err := copyFile(from, filepath.Join(d.work, name), 0o644); err != nil {
				return err
			}
		}
		d.digests[t.Arch] = sum
	}
	return nil
}

// imageFlag tells the linker of a target's image. Only the client knows it: the agent is in the image, and must not depend on it.
func (d *dist) imageFlag(t target) string {
	if d.digests[t.Arch] == "" {
		return ""
	}
	return " -X github.com/linnet-dev/linnet/pkg/guestimage.digest" + strings.ToUpper(t.Arch) + "=sha256:" + d.digests[t.Arch]
}
