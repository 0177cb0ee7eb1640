package build

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestAResultTakesItsNameOnlyWhenItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "result.tar")
	write := func(text string) *pending {
		t.Helper()
		p := &pending{path: path}
		w, err := p.open(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	holds := func(want string) {
		t.Helper()
		got, _ := os.ReadFile(path)
		left, err := os.ReadDir(filepath.Dir(path))
		if string(got) != want || err != nil || len(left) > 1 {
			t.Errorf("it holds %q, want %q; in the directory are %v, %v", got, want, left, err)
		}
	}
	write("half").drop()
	holds("")
	first := write("first")
	if err := first.commit(); err != nil {
		t.Fatal(err)
	}
	first.drop()
	holds("first")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	write("half").drop()
	holds("first")
	if err := write("second").commit(); err != nil {
		t.Fatal(err)
	}
	holds("second")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	late := &pending{path: path}
	late.drop()
	if _, err := late.open(nil); err == nil {
		t.Error("a build that was called off opens its result")
	}
	null := &pending{path: os.DevNull}
	if w, err := null.open(nil); err != nil || w.Close() != nil || null.commit() != nil {
		t.Errorf("/dev/null: %v", err)
	}
}
