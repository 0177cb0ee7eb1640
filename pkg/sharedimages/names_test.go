package sharedimages

import (
	"maps"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestIsShared(t *testing.T) {
	sum := "@sha256:" + strings.Repeat("a", 64)
	for want, names := range map[bool][]string{
		true: {
			"docker.io/library/alpine:latest",
			"docker.io/library/alpine" + sum,
			"docker.io/library/alpine:3" + sum,
			"registry.example:5000/team/app:v1",
			"localhost/app:dev",
			"docker.io/library/moby-dangling:latest",
			"docker.io/library/app-tmp-esgz:v1",
		},
		false: {
			"moby-dangling" + sum,
			"<none>" + sum,
			"overlayfs" + sum,
			"import" + sum,
			"import-2026-01-02" + sum,
			"import-2026-01-02:latest",
			"sha256:" + strings.Repeat("a", 64),
			strings.Repeat("a", 64),
			":",
			"",
			"alpine",
			"alpine:latest",
			"docker.io/library/alpine",
			"docker.io/alpine:latest",
			"docker.io/library/App:latest",
			"containerd.io/checkpoint/c1:02-01-2006-1504",
			"containerd.io/checkpoint/c1:01-02-2006-15:04:05",
			"docker.io/library/app:v1-tmp-reduced-platform",
			"docker.io/library/app:v1-tmp-esgz",
			"docker.io/library/app:v1-tmp-reduced-platform-tmp-esgz",
			"docker.io/library/app" + sum + "-tmp-reduced-platform",
			"docker.io/library/app:" + strings.Repeat("v", 129),
			"docker.io/library/app:v1 ",
			"docker.io/library/app@sha256:" + strings.Repeat("a", 63),
			"docker.io/library/app:v1\x00",
			"index.docker.io/library/app:v1",
		},
	} {
		for _, name := range names {
			if got := isShared(name); got != want {
				t.Errorf("isShared(%q) = %v", name, got)
			}
		}
	}
}

func TestImageLabels(t *testing.T) {
	all := map[string]string{
		"containerd.io/gc.expire":                     "2026-01-02T03:04:05Z",
		"org.mobyproject.image.parent":                "sha256:1",
		"org.mobyproject.image.fromscratch":           "1",
		"org.mobyproject.image.containerconfig":       "sha256:2",
		"containerd.io/distribution.source.docker.io": "library/alpine",
		"team": "web",
	}
	want := map[string]string{"containerd.io/distribution.source.docker.io": "library/alpine", "team": "web"}
	if got := imageLabels(all); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if len(all) != 6 {
		t.Error("the record's own labels were changed")
	}
	if got := imageLabels(nil); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestBlobLabels(t *testing.T) {
	a, b, c := digest.FromString("a"), digest.FromString("b"), digest.FromString("c")
	children := []ocispec.Descriptor{{Digest: a}, {Digest: b}}
	source := map[string]string{
		"containerd.io/gc.ref.content.config":                a.String(),
		"containerd.io/gc.ref.content.l.0":                   b.String(),
		"containerd.io/gc.ref.content.l.1":                   c.String(), // not there
		"containerd.io/gc.ref.content.moby/container.config": c.String(),
		"containerd.io/gc.ref.snapshot.overlayfs":            "sha256:9",
		"containerd.io/gc.root":                              "yes",
		"containerd.io/distribution.source.docker.io":        "library/alpine",
		"containerd.io/uncompressed":                         "sha256:8",
	}
	for _, test := range []struct {
		name               string
		have, source, want map[string]string
	}{
		{"a new blob gets what is there, and nothing of snapshots", nil, source, map[string]string{
			"containerd.io/gc.ref.content.config":         a.String(),
			"containerd.io/gc.ref.content.l.0":            b.String(),
			"containerd.io/distribution.source.docker.io": "library/alpine",
			"containerd.io/uncompressed":                  "sha256:8",
		}},
		{"references under other numbers will do", map[string]string{
			"containerd.io/gc.ref.content.l.7":            b.String(),
			"containerd.io/gc.ref.content.config":         a.String(),
			"containerd.io/distribution.source.docker.io": "library/other",
			"containerd.io/uncompressed":                  "sha256:8",
		}, source, map[string]string{}},
		{"a number that is taken is left alone", map[string]string{
			"containerd.io/gc.ref.content.l.0":            c.String(),
			"containerd.io/gc.ref.content.config":         a.String(),
			"containerd.io/distribution.source.docker.io": "library/alpine",
		}, source, map[string]string{
			"containerd.io/gc.ref.content.linnet." + b.Encoded(): b.String(),
			"containerd.io/uncompressed":                         "sha256:8",
		}},
		{"a source without references", nil, nil, map[string]string{
			"containerd.io/gc.ref.content.linnet." + a.Encoded(): a.String(),
			"containerd.io/gc.ref.content.linnet." + b.Encoded(): b.String(),
		}},
	} {
		if got := blobLabels(test.have, test.source, children); !maps.Equal(got, test.want) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
