package sharedimages

import (
	"maps"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// temporary are the ends of names that nerdctl's push gives to what it makes for the moment of pushing (pkg/cmd/image/push.go).
var temporary = []string{"-tmp-reduced-platform", "-tmp-esgz"}

// isShared reports whether a record's name is an image's name, in the one form that containerd's clients keep names in: with registry,
// and with tag or digest. Bookkeeping of one side has other forms:
//
//   - moby-dangling@sha256:... (moby, daemon/containerd/soft_delete.go, image_builder.go, image_import.go, image_exporter.go)
//   - <none>@sha256:... (nerdctl's build without a tag: dangling-name-prefix, pkg/cmd/builder/build.go)
//   - overlayfs@sha256:... (a loaded image without a name: archive.DigestTranslator(snapshotter), the same file)
//   - import@sha256:..., import-2026-01-02... (nerdctl's load, pkg/imgutil/load/load.go)
//   - : (nerdctl's rmi --force of an image that runs, pkg/cmd/image/remove.go)
//   - containerd.io/checkpoint/NAME:TIME (containerd's client, of which nerdctl makes checkpoints)
//   - sha256:... (CRI)
func isShared(name string) bool {
	named, err := reference.ParseNamed(name) // refuses what is not normalized
	if err != nil || reference.IsNameOnly(named) || strings.HasPrefix(name, "containerd.io/checkpoint/") {
		return false
	}
	for _, end := range temporary {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return true
}

const (
	gcLabels    = "containerd.io/gc."
	gcReference = "containerd.io/gc.ref.content."
)

// imageLabels are the labels of a record that say something of the image. What steers containerd's garbage collector, and how an
// image came about on moby's side (its parents are there alone), is one side's own.
func imageLabels(all map[string]string) map[string]string {
	own := maps.Clone(all)
	maps.DeleteFunc(own, func(key, _ string) bool {
		return strings.HasPrefix(key, gcLabels) || strings.HasPrefix(key, "org.mobyproject.image.")
	})
	return own
}

// blobLabels are the labels that a blob lacks on one side, from those that it has on the other: where it is from, what it is when
// unpacked, and references to those of its children that are there, so that the garbage collector keeps them. Labels that
// it has stay as they are: numbers in references are each side's own.
func blobLabels(have, other map[string]string, children []ocispec.Descriptor) map[string]string {
	missing := map[digest.Digest]bool{}
	for _, c := range children {
		missing[c.Digest] = true
	}
	for key, value := range have {
		if strings.HasPrefix(key, gcReference) {
			delete(missing, digest.Digest(value))
		}
	}
	add := map[string]string{}
	for key, value := range other {
		if _, taken := have[key]; taken {
			continue
		}
		if !strings.HasPrefix(key, gcLabels) {
			add[key] = value
		} else if strings.HasPrefix(key, gcReference) && missing[digest.Digest(value)] {
			add[key] = value
			delete(missing, digest.Digest(value))
		}
	}
	for d := range missing {
		add[gcReference+"linnet."+d.Encoded()] = d.String()
	}
	return add
}
