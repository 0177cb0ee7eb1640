package guestimage

import (
	"fmt"
	"strings"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// releaseURL is where a release's image is: its version twice, without a leading v, and the architecture as Go names it.
const releaseURL = "https://github.com/linnet-dev/linnet/releases/download/v%s/%s"

// The digests of the images that go with this client. The linker sets them in a release (Makefile: IMAGE_AMD64, IMAGE_ARM64);
// a development build has none, and so fetches nothing by itself.
var digestAMD64, digestARM64 string

// Release is what a client knows of the images that go with it.
type Release struct {
	// Version is the client's, as in its tag.
	Version string
	// Digests are by architecture, as Go names it.
	Digests map[string]Digest
}

// OwnRelease is this client's; version is the client's.
func OwnRelease(version string) Release {
	r := Release{Version: version, Digests: map[string]Digest{}}
	for arch, text := range map[string]string{"amd64": digestAMD64, "arm64": digestARM64} {
		if d, err := ParseDigest(text); err == nil {
			r.Digests[arch] = d
		}
	}
	return r
}

// Source is where the image for an architecture is. Its error has a hint: the client knows of none.
func (r Release) Source(arch string) (Source, error) {
	d := r.Digests[arch]
	if d == "" {
		return Source{}, hint.New("this is a development build, which knows no image to fetch", "`make image` in its sources, or set vm.image")
	}
	version := strings.TrimPrefix(r.Version, "v")
	return Source{URL: fmt.Sprintf(releaseURL, version, FileName(version, arch)), Digest: d}, nil
}

// complete gives a URL the digest that its user left out: the client's own, if it has one.
func (r Release) complete(s Source, arch string) (Source, error) {
	if s.Digest == "" {
		s.Digest = r.Digests[arch]
	}
	if s.Digest == "" {
		return s, hint.With(fmt.Errorf("%s has no digest, and a development build knows none: what comes from there could be anything", s.URL),
			"write the digest behind it: #sha256: and 64 hexadecimal digits")
	}
	return s, nil
}

// Complete is ParseSource for a URL that is to be fetched: the digest that is left out is the client's own.
func (r Release) Complete(text, arch string) (Source, error) {
	s, err := ParseSource(text, "")
	if err != nil {
		return s, err
	}
	if s.URL == "" {
		return s, hint.With(fmt.Errorf("%q is no URL", text), "linnet vm image import FILE takes a file")
	}
	return r.complete(s, arch)
}
