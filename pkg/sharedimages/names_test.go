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
	for name, want := range map[string]bool{
		"docker.io/library/alpine:latest":                 true,
		"docker.io/library/alpine" + sum:                  true,
		"docker.io/library/alpine:3" + sum:                true,
		"registry.example:5000/team/app:v1":               true,
		"localhost/app:dev":                               true,
		"docker.io/library/moby-dangling:latest":          true,
		"moby-dangling" + sum:                             false,
		"<none>" + sum:                                    false,
		"overlayfs" + sum:                                 false,
		"import" + sum:                                    false,
		"import-2026-01-02" + sum:                         false,
		"import-2026-01-02:latest":                        false,
		"sha256:" + strings.Repeat("a", 64):               false,
		strings.Repeat("a", 64):                           false,
		":":                                               false,
		"":                                                false,
		"alpine":                                          false,
		"alpine:latest":                                   false,
		"docker.io/library/alpine":                        false,
		"docker.io/alpine:latest":                         false,
		"docker.io/library/App:latest":                    false,
		"containerd.io/checkpoint/c1:02-01-2006-1504":     false,
		"containerd.io/checkpoint/c1:01-02-2006-15:04:05": false,
		"docker.io/library/app:v1-tmp-reduced-platform":   false,
		"docker.io/library/app:v1-tmp-esgz":               false,
		"docker.io/library/app:v1-tmp-reduced-platform-tmp-esgz":  false,
		"docker.io/library/app-tmp-esgz:v1":                       true,
		"docker.io/library/app" + sum + "-tmp-reduced-platform":   false,
		"docker.io/library/app:" + strings.Repeat("v", 129):       false,
		"docker.io/library/app:v1 ":                               false,
		"docker.io/library/app@sha256:" + strings.Repeat("a", 63): false,
		"docker.io/library/app:v1\x00":                            false,
		"index.docker.io/library/app:v1":                          false,
	} {
		if got := isShared(name); got != want {
			t.Errorf("isShared(%q) = %v", name, got)
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
