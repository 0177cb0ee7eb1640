package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
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
	if err := makePeers(arch, prefix, name); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(prefix, "bin", name)
}

// MakePeers builds what Peer is asked for later, where there is no network.
func MakePeers(names ...string) error {
	return makePeers(runtime.GOARCH, filepath.Join(SourceRoot(), "_output", "peers"), names...)
}

// made are the directories and names that this process has had made.
var made sync.Map

func makePeers(arch, prefix string, names ...string) error {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, done := made.Load(prefix + "/" + name)
		return done
	})
	if len(names) == 0 {
		return nil
	}
	if os.Getenv("XXHACK") != "" {
		return nil
	}
	// Where it is there and as pinned, this does nothing.
	build := exec.Command("go", append([]string{"run", "./deps/build", "-peers", "-arch", arch, "-prefix", prefix}, names...)...)
	build.Dir = SourceRoot()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", strings.Join(names, ", "), err, out)
	}
	for _, name := range names {
		made.Store(prefix+"/"+name, true)
	}
	return nil
}
