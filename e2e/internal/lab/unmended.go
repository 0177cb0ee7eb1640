package lab

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// SourceRoot is the directory of the repository that the suite itself was built from, whatever it drives.
func SourceRoot() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(file))))
}

// Unmended makes a copy of the engine's programs in which a component is built without some mends, and returns the variable that
// makes linnet take it. Only tests build such a program: it is kept in the cache of the components.
func Unmended(t testing.TB, component string, mends ...string) string {
	t.Helper()
	list := strings.Join(mends, ",")
	to := filepath.Join(Root(), "_output", "unmended", strings.Join(mends, "+"))
	from := filepath.Join(Root(), "libexec", "linnet")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, below)
		if d.IsDir() {
			if d.Name() == "image" { // the guest's
				return filepath.SkipDir
			}
			return os.MkdirAll(target, 0o755)
		}
		_ = os.Remove(target)
		return os.Link(path, target)
	})
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "run", "./deps/build", "-without", list, "-prefix", to, component)
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s without %s: %v\n%s", component, list, err, out)
	}
	return "LINNET_LIBEXEC=" + to
}
