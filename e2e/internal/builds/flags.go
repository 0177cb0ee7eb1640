//go:build e2e

package builds

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// building is one case of a flag of `build`.
type building struct{ place }

// Flags runs the case of each flag of `build`. A flag without a case fails, and so does a case
// of what is no flag.
func Flags(t *testing.T, target Target, names []string) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			try := flagCases[name]
			if try == nil {
				t.Fatalf("--%s has no case in flagCases: what does it do?", name)
			}
			try(building{place{T: t, Target: target, name: name, dir: t.TempDir()}})
		})
	}
	for name := range flagCases {
		if !slices.Contains(names, name) {
			t.Errorf("--%s is no flag any more", name)
		}
	}
}

// with is the building when variables are set for linnet.
func (b building) with(env ...string) building { return building{b.place.with(env...)} }

// repositories is where in the registry the case's images go.
func (b building) repositories() string { return b.Registry + "/" + b.name }

// build builds a Dockerfile in which BASE stands for the image to build from.
func (b building) build(dockerfile string, args ...string) lab.Result {
	b.Helper()
	path := filepath.Join(b.dir, "Dockerfile")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(dockerfile, "BASE", b.Base)), 0o644); err != nil {
		b.Fatal(err)
	}
	return b.Engine.Run(b, append(append([]string{"build", "--progress=plain"}, args...), b.dir)...)
}

// must is build that has to succeed; its output comes back.
func (b building) must(dockerfile string, args ...string) string {
	b.Helper()
	r := b.build(dockerfile, args...)
	if r.Code != 0 {
		b.Fatalf("build %q: exit code %d\n%s%s", args, r.Code, r.Out, r.Err)
	}
	return r.Out + r.Err
}

// refused is build that has to fail with a text in its error.
func (b building) refused(text, dockerfile string, args ...string) {
	b.Helper()
	r := b.build(dockerfile, args...)
	if r.Code == 0 || !strings.Contains(r.Err, text) {
		b.Errorf("build %q: exit code %d, and not %q in\n%s", args, r.Code, text, r.Err)
	}
}

// file writes a file of the test's own.
func (b building) file(name, text string) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// layout builds into an OCI layout and reads it: all of its JSON documents, as one text.
func (b building) layout(dockerfile string, args ...string) string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "layout")
	b.must(dockerfile, append(args, "--output", "type=oci,tar=false,dest="+out)...)
	text := b.read(filepath.Join(out, "index.json"))
	blobs, err := filepath.Glob(filepath.Join(out, "blobs", "sha256", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, blob := range blobs {
		if content := b.read(blob); strings.HasPrefix(content, "{") {
			text += content
		}
	}
	return text
}

// StepState is how plain progress shows the end of a step: CACHED, DONE and how long it took, or
// nothing.
func StepState(text, step string) string {
	lines := strings.Split(text, "\n")
	for _, line := range lines {
		number, rest, _ := strings.Cut(line, " ")
		if !strings.Contains(rest, step) {
			continue
		}
		for _, l := range lines {
			if got, ok := strings.CutPrefix(l, number+" "); ok && (got == "CACHED" || strings.HasPrefix(got, "DONE")) {
				return got
			}
		}
	}
	return ""
}
