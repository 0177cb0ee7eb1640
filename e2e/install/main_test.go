//go:build e2e && linux

// Package install_test installs what `make dist` makes on machines that have nothing but a Debian's essential packages, and runs,
// updates and removes it there: by the deb, the rpm and install.sh. The machines are namespaces of this host (machine.sh).
package install_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The versions that make test-install makes of this tree: the one that is installed first, and the one that follows it.
const first, later = "v0.0.1", "v0.0.2"

// suites are the releases of Debian that are installed on.
var suites = []string{"bookworm", "trixie"}

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the package suite needs root: sudo make test-install")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// released is a file of a version that make test-install has made; * stands in the name for what is the version's.
func released(t *testing.T, version, pattern string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "_output", "install", version)
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(found) != 1 {
		t.Fatalf("%s has no %s, or several: make test-install makes them", dir, pattern)
	}
	return found[0]
}

func deb(t *testing.T, version string) string {
	return released(t, version, "linnet_*_"+runtime.GOARCH+".deb")
}

// rootOf is the archive of a suite's root, which root.sh makes once for each of its own contents and this machine's mirrors.
func rootOf(t *testing.T, suite string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("root.sh")
	if err != nil {
		t.Fatal(err)
	}
	mirrors := mustHost(t, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
	sum := sha256.Sum256([]byte(string(script) + mirrors))
	file := filepath.Join(cache, "linnet", "install", fmt.Sprintf("%s-%s-%x.tar", suite, runtime.GOARCH, sum[:6]))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	making := exec.CommandContext(t.Context(), "./root.sh", suite, file)
	making.Stderr = os.Stderr
	if err := making.Run(); err != nil {
		t.Fatalf("making a root of %s: %v", suite, err)
	}
	return file
}

// image builds on the machine what containers are made from: this host's static busybox.
func image(t *testing.T, m *machine) string {
	t.Helper()
	m.bring(t, "/bin/busybox", "root/app/busybox")
	const dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nCMD [\"sh\"]\n"
	if err := os.WriteFile(filepath.Join(m.root, "root/app/Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	m.linnet(t, "build", "-q", "-t", "app", "/root/app")
	return "app"
}

// removeApp removes what image has brought.
func removeApp(t *testing.T, m *machine) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(m.root, "root/app")); err != nil {
		t.Fatal(err)
	}
}

// process is the number, on the machine, of its one process whose command line begins with a program's name and words.
func process(t *testing.T, m *machine, line string) string {
	t.Helper()
	found := map[string]bool{}
	for number, words := range processes(m) {
		if strings.HasPrefix(filepath.Base(words[0])+" "+strings.Join(words[1:], " "), line) {
			found[number] = true
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d processes are %s", len(found), line)
	}
	return slices.Collect(maps.Keys(found))[0]
}

// versions are what linnet says of itself and of the agent that runs.
type versions struct {
	Client   struct{ Version string }
	Agent    string
	Problems []string
}

func versionsOf(t *testing.T, m *machine) (v versions) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.linnet(t, "version", "--format", "json")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
