package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A program of Homebrew's is known by where it really is.
func TestInstallationsOfHomebrewAreKnown(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program, link := filepath.Join(root, "Cellar/linnet/0.1.0/bin/linnet"), filepath.Join(root, "bin", "linnet")
	err = errors.Join(os.MkdirAll(filepath.Dir(program), 0o755), os.MkdirAll(filepath.Dir(link), 0o755), os.WriteFile(program, nil, 0o755), os.Symlink(program, link))
	if err != nil {
		t.Fatal(err)
	}
	in, err := findInstallation(link)
	if err != nil || in.Instead != "brew uninstall linnet" || len(in.Files) > 0 {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestDirectoriesAreRemovedFromTheInside(t *testing.T) {
	in := installation{Prefix: "/p", Files: []string{"bin/linnet", "share/man/man1/linnet.1.gz", "share/doc/linnet/LICENSE"}}
	want := []string{"/p/share/man/man1", "/p/share/man", "/p/share/doc/linnet", "/p/share/doc", "/p/share", "/p/bin"}
	if have := in.dirs(); !slices.Equal(have, want) {
		t.Errorf("the directories are %q, want %q", have, want)
	}
}

// A removal that stopped in between can be done again: what is gone is no error, and the list is the last to go.
func TestRemovalsCanBeDoneAgain(t *testing.T) {
	in := installation{Prefix: t.TempDir(), Files: []string{"bin/linnet", "libexec/linnet/files", "share/full"}}
	full := filepath.Join(in.Prefix, "share/full/of")
	list := filepath.Join(in.Prefix, "libexec/linnet/files")
	if err := errors.Join(os.MkdirAll(full, 0o755), os.MkdirAll(filepath.Dir(list), 0o755), os.WriteFile(list, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := in.remove(); err == nil {
		t.Error("a directory in the place of a file was removed")
	}
	if _, err := os.Stat(list); err != nil {
		t.Errorf("the list is gone: %v", err)
	}
	if err := errors.Join(os.Remove(full), in.remove()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(list))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("libexec is left: %v", err)
	}
}
