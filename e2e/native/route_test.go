//go:build linux && e2e

package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// A global flag between the words of a command has the effect that it has before them: what is pruned is the other namespace's, and
// what builds or prunes the build cache is linnet's own, which keeps cache mounts.
func TestAGlobalFlagBetweenWords(t *testing.T) {
	t.Parallel()
	e := lab.New(t)
	image := e.Busybox(t)
	archive := filepath.Join(t.TempDir(), "image.tar")
	e.Must(t, "save", "-o", archive, image)
	e.Must(t, "--namespace=other", "load", "-i", archive)
	stopped := func(namespace string) string {
		t.Helper()
		return e.Must(t, "--namespace="+namespace, "ps", "-a", "--format", "{{.Names}}")
	}
	create := func() {
		t.Helper()
		for _, namespace := range []string{"default", "other"} {
			e.Must(t, "--namespace="+namespace, "create", "--name=idle", "--network=none", image, "true")
		}
	}
	create()
	for _, line := range []string{"container --namespace=other prune -f", "system --namespace=other prune -f", "container prune --namespace=other -f"} {
		e.Must(t, strings.Fields(line)...)
		if mine, other := stopped("default"), stopped("other"); mine != "idle" || other != "" {
			t.Errorf("after %q default has %q and other has %q", line, mine, other)
		}
		e.Must(t, "rm", "-f", "idle")
		create()
	}

	dir := t.TempDir()
	counts := "FROM " + image + "\nARG N\nRUN --mount=type=cache,target=/c echo $N >>/c/lines && cp /c/lines /lines\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(counts), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Must(t, "build", "-q", "--build-arg=N=1", "-t", "counted", dir)
	e.Must(t, "builder", "--namespace=default", "prune", "-f")
	e.Must(t, "build", "-q", "--build-arg=N=2", "-t", "counted", dir)
	if got := e.Must(t, "run", "--rm", "--network=none", "counted", "cat", "/lines"); got != "1\n2" {
		t.Errorf("after a prune the cache mount holds %q", got)
	}
	r := e.Run(t, "image", "--namespace=other", "build", dir)
	before := e.Run(t, "--namespace=other", "build", dir)
	behind := e.Run(t, "build", "--namespace=other", dir)
	if r.Code != 2 || !strings.Contains(r.Err, "a build has none of nerdctl's global flags") || r != before || r != behind {
		t.Errorf("%+v, before the command %+v, and behind it %+v", r, before, behind)
	}
}
