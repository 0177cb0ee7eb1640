//go:build e2e && linux

package native_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/build/cache"
)

// moving uses what is hard to carry over: an image from a registry, a cache mount, a secret, a
// stage that is not in the result, an argument, a directory from the context.
const moving = `FROM %s AS tools
ARG FLAVOUR=none
RUN --mount=type=secret,id=token,required test "$(cat /run/secrets/token)" = first; echo "$FLAVOUR" > /flavour
WORKDIR /work
COPY src src
RUN --mount=type=cache,target=/root/.cache cp -r src /root/.cache/ && cat src/a src/deep/b > all
FROM tools AS tested
RUN echo tested > /report
FROM scratch
COPY --from=tools --link /work/all /flavour /
COPY --from=tested /report /
`

var (
	vertex = regexp.MustCompile(`(?m)^#(\d+) (\[[^\n]*\] [^\n]*)$`)
	cached = regexp.MustCompile(`(?m)^#(\d+) CACHED$`)
)

// notCached are the steps of a build, by its plain progress, that were run; the fetching of an
// image is none.
func notCached(progress string) (steps []string) {
	var from []string
	for _, m := range cached.FindAllStringSubmatch(progress, -1) {
		from = append(from, m[1])
	}
	for _, m := range vertex.FindAllStringSubmatch(progress, -1) {
		if !strings.HasPrefix(m[2], "[internal]") && !strings.Contains(m[2], "] FROM ") && !slices.Contains(from, m[1]) && !slices.Contains(steps, m[2]) {
			steps = append(steps, m[2])
		}
	}
	return steps
}

// What was built here is exported, all that the engine keeps is lost, and on what is like another
// machine (another checkout, at another path, without the secret and without a network) every step
// comes from the imported cache.
func TestExportedCacheBuildsElsewhereWithoutANetwork(t *testing.T) {
	t.Parallel()
	alone := newNetns(t)
	e := lab.New(t)
	registry := lab.NewRegistry(t)
	registry.PushBusybox(t, "team/tools:1")
	dockerfile := fmt.Sprintf(moving, "127.0.0.1:"+registry.Port+"/team/tools:1")
	here := checkout(t, dockerfile, "https://example.com/team/shop.git")
	put(t, here, "src/a", "a\n")
	put(t, here, "src/deep/b", "b\n")
	put(t, here, "token", "first")
	flags := []string{"--build-arg", "FLAVOUR=plain", "--progress", "plain"}
	e.Must(t, append([]string{"build", "-t", "shop", "--secret", "id=token,src=" + filepath.Join(here, "token"), here}, flags...)...)
	if err := os.Remove(filepath.Join(here, "token")); err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(t.TempDir(), "exported")
	r := e.Run(t, "cache", "export", dir)
	if r.Code != 0 || !strings.Contains(r.Out, "exported the cache of example.com/team/shop\n") || !strings.Contains(r.Out, "exported the image 127.0.0.1:") {
		t.Fatalf("exporting: exit code %d, %q\n%s", r.Code, r.Out, r.Err)
	}
	if steps := notCached(r.Err); len(steps) > 0 {
		t.Errorf("exporting ran %q", steps)
	}
	if strings.Contains(r.Err, "level=") {
		t.Errorf("a library's log is shown:\n%s", r.Err)
	}

	e.Must(t, "engine", "reset", "--force")
	e.Netns = alone
	there := checkout(t, dockerfile, "git@example.com:team/shop.git")
	put(t, there, "src/a", "a\n")
	put(t, there, "src/deep/b", "b\n")
	out := filepath.Join(t.TempDir(), "out")
	again := append([]string{"build", "-t", "shop", "--output", out, there}, flags...)
	if r := e.Run(t, again...); r.Code == 0 {
		t.Fatal("without the cache it was built: the test proves nothing")
	}
	if got := e.Must(t, "cache", "import", dir); !strings.Contains(got, "imported the image 127.0.0.1:") {
		t.Errorf("importing says %q", got)
	}
	r = e.Run(t, again...)
	if r.Code != 0 {
		t.Fatalf("building there: exit code %d\n%s", r.Code, r.Err)
	}
	if steps := notCached(r.Err); len(steps) > 0 || strings.Count(r.Err, " CACHED\n") < 6 {
		t.Errorf("these steps ran: %q\n%s", steps, r.Err)
	}
	for name, want := range map[string]string{"all": "a\nb\n", "flavour": "plain\n", "report": "tested\n"} {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if got := e.Must(t, "run", "--rm", "--network=none", "127.0.0.1:"+registry.Port+"/team/tools:1", "echo", "whole"); got != "whole" {
		t.Errorf("the image that was imported says %q", got)
	}
}

// Imported cache is its project's, is listed, and goes when it is removed; another project's builds
// do not look into it.
func TestImportedCacheIsListedAndRemoved(t *testing.T) {
	e := lab.New(t)
	shop := checkout(t, counting, "https://example.com/team/shop.git")
	runs(t, e, shop)
	dir := filepath.Join(t.TempDir(), "exported")
	var exported cache.Exported
	if err := json.Unmarshal([]byte(e.Must(t, "cache", "export", "-q", "--format", "json", dir)), &exported); err != nil || len(exported.Builds) != 1 {
		t.Fatalf("%+v, %v", exported, err)
	}
	e.Must(t, "cache", "prune", "--force", "--all", "--mounts")
	e.Must(t, "cache", "import", dir)
	all := records(t, e)
	if len(all) != 1 || all[0].Kind != cache.Imported || all[0].Project != "example.com/team/shop" || all[0].Size == 0 {
		t.Errorf("the cache is %+v", all)
	}
	desk := checkout(t, counting, "https://example.com/team/desk.git")
	if r := e.Run(t, "build", "--progress", "plain", desk); strings.Contains(r.Err, "importing cache") || len(notCached(r.Err)) == 0 {
		t.Errorf("another project has looked into it:\n%s", r.Err)
	}
	e.Must(t, "cache", "prune", "--force", "--all", "--mounts", "--filter", "type!=imported")
	if r := e.Run(t, "build", "--progress", "plain", shop); len(notCached(r.Err)) > 0 {
		t.Errorf("it was not used for %q:\n%s", notCached(r.Err), r.Err)
	}
	if got := e.Must(t, "cache", "rm", all[0].ID); got != all[0].ID {
		t.Errorf("removing it says %q", got)
	}
	e.Must(t, "cache", "import", dir)
	others := len(records(t, e)) - 1
	e.Must(t, "cache", "prune", "--force", "--filter", "type=imported")
	if got := records(t, e); len(got) != others || slices.Contains(kindsOf(got), cache.Imported) {
		t.Errorf("after removing it and pruning it there is %v", got)
	}
}

// A directory that --cache-to type=local has made, docker's or ours, can be imported.
func TestADirectoryOfDockersCacheIsImported(t *testing.T) {
	e := lab.New(t)
	here := checkout(t, counting, "")
	dir := filepath.Join(t.TempDir(), "cache")
	e.Must(t, "build", "-q", "--cache-to", "type=local,mode=max,dest="+dir, here)
	e.Must(t, "cache", "prune", "--force", "--all", "--mounts")
	e.Must(t, "cache", "import", dir)
	if r := e.Run(t, "build", "--progress", "plain", here); r.Code != 0 || len(notCached(r.Err)) > 0 {
		t.Errorf("exit code %d; these steps ran: %q\n%s", r.Code, notCached(r.Err), r.Err)
	}
	r := e.Run(t, "cache", "import", t.TempDir())
	if r.Code != 1 || !strings.Contains(r.Err, "holds none\nhint: ") {
		t.Errorf("a directory without cache: exit code %d, %q", r.Code, r.Err)
	}
	if r := lab.New(t).Run(t, "cache", "export", dir); r.Code != 1 || !strings.Contains(r.Err, "nothing was built here lately") {
		t.Errorf("nothing to export: exit code %d, %q", r.Code, r.Err)
	}
}
