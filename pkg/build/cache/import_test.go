package cache

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/ociindex"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/host"
)

// blob writes a blob into a directory as --cache-to type=local does.
func blob(t *testing.T, dir, text string) ocispecs.Descriptor {
	t.Helper()
	d := digest.FromString(text)
	path := filepath.Join(dir, "blobs", "sha256", d.Encoded())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return ocispecs.Descriptor{Digest: d, Size: int64(len(text))}
}

// exported makes a directory of cache with one tag, and an older blob that nothing names.
func exported(t *testing.T, tag string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	blob(t, dir, "of an earlier export")
	config, layer := blob(t, dir, `{"layers":[]}`), blob(t, dir, "layer")
	manifest := blob(t, dir, `{"schemaVersion":2,"mediaType":"`+ocispecs.MediaTypeImageManifest+`",`+
		`"config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":"`+config.Digest.String()+`","size":13},`+
		`"layers":[{"mediaType":"`+ocispecs.MediaTypeImageLayerGzip+`","digest":"`+layer.Digest.String()+`","size":5}]}`)
	manifest.MediaType = ocispecs.MediaTypeImageManifest
	if err := ociindex.NewStoreIndex(dir).Put(manifest, ociindex.Tag(tag)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAnImportTakesWhatItsTagNames(t *testing.T) {
	s := build.Session{Layout: host.Layout{Home: t.TempDir()}}
	dir := exported(t, "main")
	for range 2 { // the second takes the place of the first
		if _, err := Import(t.Context(), s, dir, "example.com/shop"); err != nil {
			t.Fatal(err)
		}
	}
	all := state.Imported(s.Layout)
	if len(all) != 1 || all[0].Tag != "main" || all[0].Project != "example.com/shop" || all[0].Size < 18 {
		t.Fatalf("there is %+v", all)
	}
	blobs, err := filepath.Glob(filepath.Join(s.Layout.ImportedCache(), "*", "blobs", "sha256", "*"))
	if err != nil || len(blobs) != 3 {
		t.Errorf("these were copied: %q, %v", blobs, err)
	}
	left, err := filepath.Glob(filepath.Join(s.Layout.ImportedCache(), ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("these are left over: %q, %v", left, err)
	}
	if err := removeImported(s.Layout, "main"); err != nil || len(state.Imported(s.Layout)) != 0 {
		t.Errorf("removed: %+v, %v", state.Imported(s.Layout), err)
	}
}

func TestABrokenDirectoryIsNotImported(t *testing.T) {
	s := build.Session{Layout: host.Layout{Home: t.TempDir()}}
	torn := exported(t, "main")
	if err := os.Remove(filepath.Join(torn, "blobs", "sha256", digest.FromString("layer").Encoded())); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), s, torn, ""); err == nil || !strings.Contains(err.Error(), digest.FromString("layer").String()) {
		t.Errorf("a layer is missing: %v", err)
	}
	outside := exported(t, "../../main")
	if _, err := Import(t.Context(), s, outside, ""); err == nil || !strings.Contains(err.Error(), "cannot be a tag") {
		t.Errorf("a tag that leads out: %v", err)
	}
	if got := state.Imported(s.Layout); len(got) > 0 {
		t.Errorf("there is %+v", got)
	}
}

func TestWhatIsGoneIsNotBuiltAgain(t *testing.T) {
	l, dir := host.Layout{Home: t.TempDir()}, t.TempDir()
	for _, context := range []string{filepath.Join(dir, "gone"), dir} {
		state.Remember(l, state.Recipe{Options: options.Options{Context: context}})
	}
	if got := rebuildable(l, ""); len(got) != 1 || got[0].Options.Context != dir {
		t.Errorf("there is %+v", got)
	}
}
