package lab

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Peer is a program of e2e/peers for this host, by its name there: docker, docker-compose, docker-buildx, act, testcontainers. It is
// built when it is not in the cache of the components, which takes minutes the first time.
func Peer(t testing.TB, name string) string {
	t.Helper()
	return PeerFor(t, name, runtime.GOARCH)
}

// PeerFor is Peer for Linux on another architecture, as Go names it: for what runs in a container, Arch.
func PeerFor(t testing.TB, name, arch string) string {
	t.Helper()
	prefix := filepath.Join(SourceRoot(), "_output", "peers")
	if arch != runtime.GOARCH {
		prefix += "-" + arch
	}
	// Where it is there and as pinned, this does nothing.
	build := exec.CommandContext(t.Context(), "go", "run", "./deps/build", "-peers", "-arch", arch, "-prefix", prefix, name)
	build.Dir = SourceRoot()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	return filepath.Join(prefix, "bin", name)
}
