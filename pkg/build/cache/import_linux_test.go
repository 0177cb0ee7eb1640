package cache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linnet-dev/linnet/pkg/build"
	"github.com/linnet-dev/linnet/pkg/build/state"
	"github.com/linnet-dev/linnet/pkg/host"
	"github.com/linnet-dev/linnet/pkg/host/hosttest"
)

// What a user has mounted where imported cache is kept is not removed by another import, nor by rm and prune.
func TestImportedCacheThatIsMountedStays(t *testing.T) {
	hosttest.Mounting(t, importedCacheThatIsMountedStays)
}

func importedCacheThatIsMountedStays(t *testing.T) {
	for _, below := range []string{"", "blobs"} {
		t.Run("at "+below, func(t *testing.T) {
			s := build.Session{Layout: host.Layout{Home: t.TempDir()}}
			dir := exported(t, "main")
			if _, err := Import(t.Context(), s, dir, "example.com/shop"); err != nil {
				t.Fatal(err)
			}
			// All that says that it is linnet's is there: a copy on another disk.
			at, value := filepath.Join(s.Layout.ImportedCache(), "main", below), t.TempDir()
			if err := errors.Join(os.CopyFS(value, os.DirFS(at)), os.WriteFile(filepath.Join(value, "kept"), nil, 0o644), unix.Mount(value, at, "", unix.MS_BIND, "")); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
			_, err := Import(t.Context(), s, dir, "example.com/shop")
			for what, err := range map[string]error{"imported": err, "removed": removeImported(s.Layout, "main")} {
				if err == nil || !strings.Contains(err.Error(), at+" is mounted there, and is not linnet's to remove") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, err := os.Stat(filepath.Join(value, "kept")); err != nil || len(state.Imported(s.Layout)) != 1 {
				t.Errorf("what was mounted: %v; imported: %+v", err, state.Imported(s.Layout))
			}
		})
	}
}
