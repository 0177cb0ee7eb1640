//go:build e2e && linux

package native_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
	"github.com/linnet-dev/linnet/pkg/build/cache"
)

// counting is a Dockerfile whose second step counts, in a cache mount, how often it ran.
const counting = `FROM scratch
COPY busybox /bin/busybox
COPY input /input
RUN --mount=type=cache,id=counter,target=/counter ["/bin/busybox", "sh", "-c", "echo run >> /counter/runs; /bin/busybox wc -l < /counter/runs > /runs"]
`

// checkout makes a directory with a Dockerfile and the static busybox; remote is its git remote,
// if it has one.
func checkout(t *testing.T, dockerfile, remote string) string {
	t.Helper()
	dir := t.TempDir()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "busybox", string(busybox))
	put(t, dir, "Dockerfile", dockerfile)
	put(t, dir, "input", "first")
	if remote != "" {
		for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", remote}} {
			if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("git %q: %v\n%s", args, err, out)
			}
		}
	}
	return dir
}

// put writes a file that can be run.
func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// runs builds and says what the step counted.
func runs(t *testing.T, e *lab.Engine, dir string, flags ...string) string {
	t.Helper()
	out := t.TempDir()
	e.Must(t, append([]string{"build", "-q", "--output", out, dir}, flags...)...)
	text, err := os.ReadFile(filepath.Join(out, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func records(t *testing.T, e *lab.Engine) (all []cache.Record) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Must(t, "cache", "ls", "--format", "json")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// mounts are the cache mounts there are, as "project:mount".
func mounts(t *testing.T, e *lab.Engine) (all []string) {
	t.Helper()
	for _, r := range records(t, e) {
		if r.Kind == cache.Mount {
			all = append(all, r.Project+":"+r.Mount)
		}
	}
	slices.Sort(all)
	return all
}

func kindsOf(all []cache.Record) (kinds []cache.Kind) {
	for _, r := range all {
		if !slices.Contains(kinds, r.Kind) {
			kinds = append(kinds, r.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// A cache mount is its project's: every checkout of it has the same one, whatever its path and
// by whatever protocol it was cloned, and another project has another; a setting shares it.
func TestCacheMountsAreTheProjects(t *testing.T) {
	t.Parallel()
	e := unmeasured(t)
	shop := checkout(t, counting, "https://example.com/team/shop.git")
	again := checkout(t, counting, "git@example.com:team/shop.git")
	desk := checkout(t, counting, "https://example.com/team/desk.git")
	put(t, again, "input", "second")
	put(t, desk, "input", "third")
	for _, step := range []struct{ dir, want string }{{shop, "1"}, {again, "2"}, {desk, "1"}} {
		if got := runs(t, e, step.dir); got != step.want {
			t.Errorf("%s: the step ran %s times with this mount, want %s", step.dir, got, step.want)
		}
	}
	if got, want := mounts(t, e), []string{"example.com/team/desk:counter", "example.com/team/shop:counter"}; !slices.Equal(got, want) {
		t.Errorf("the cache mounts are %q, want %q", got, want)
	}
	e.Env = []string{"LINNET_BUILD_CACHE_MOUNTS=shared"}
	for i, dir := range []string{shop, desk} {
		put(t, dir, "input", "shared "+dir)
		if got := runs(t, e, dir); got != itoa(i+1) {
			t.Errorf("shared: the step ran %s times, want %d", got, i+1)
		}
	}
	e.Env = []string{"LINNET_BUILD_PROJECT=example.com/team/shop"}
	named := checkout(t, counting, "")
	put(t, named, "input", "named")
	if got := runs(t, e, named); got != "3" {
		t.Errorf("with the project's name set the step ran %s times, want 3", got)
	}
}

// Whose the cache mounts are is not part of what a step is: a checkout of one project
// has the steps of another project's from the cache.
func TestCacheMountsOfOthersDoNotMakeStepsRunAgain(t *testing.T) {
	e := unmeasured(t)
	for _, dir := range []string{
		checkout(t, counting, "https://example.com/team/shop.git"),
		checkout(t, counting, "https://example.com/fork/shop.git"),
	} {
		if got := runs(t, e, dir); got != "1" {
			t.Errorf("%s: the step ran again", dir)
		}
	}
}

// `system prune` removes all that nerdctl's does, and no cache mount.
func TestSystemPruneKeepsCacheMounts(t *testing.T) {
	t.Parallel()
	e := unmeasured(t)
	image := e.Busybox(t)
	dir := checkout(t, counting, "https://example.com/team/shop.git")
	runs(t, e, dir)
	e.Must(t, "network", "create", "unused")
	e.Must(t, "volume", "create", "named")
	e.Must(t, "run", "--name", "ended", "--network=none", image, "true")
	e.Must(t, "run", "-d", "--name", "lives", "--network=none", image, "sleep", "1000")
	if r := e.RunIn(t, strings.NewReader("n\n"), "system", "prune"); r.Code != 0 || !strings.HasSuffix(r.Out, "[y/N] ") {
		t.Errorf("asked and not agreed: exit code %d, %q", r.Code, r.Out)
	}
	r := e.RunIn(t, strings.NewReader("y\n"), "system", "prune", "--all", "--volumes")
	if r.Code != 0 || !strings.Contains(r.Out, "Deleted Containers:") || !strings.Contains(r.Out, "Total reclaimed space: ") {
		t.Errorf("exit code %d, %q\n%s", r.Code, r.Out, r.Err)
	}
	if got, want := kindsOf(records(t, e)), []cache.Kind{cache.Mount}; !slices.Equal(got, want) {
		t.Errorf("of the build cache there is %q, want %q", got, want)
	}
	if got := e.Must(t, "ps", "--all", "--format", "{{.Names}}"); got != "lives" {
		t.Errorf("there are the containers %q", got)
	}
	if got := e.Must(t, "network", "ls", "--format", "{{.Name}}"); strings.Contains(got, "unused") {
		t.Errorf("there are the networks %q", got)
	}
	if got := e.Must(t, "volume", "ls", "--format", "{{.Name}}"); got != "named" {
		t.Errorf("there are the volumes %q", got) // nerdctl removes those without a name
	}
}

// What prunes by routine keeps cache mounts; asked to, prune takes them as well.
func TestPruneKeepsCacheMountsUntilAsked(t *testing.T) {
	t.Parallel()
	e := unmeasured(t)
	dir := checkout(t, counting, "https://example.com/team/shop.git")
	runs(t, e, dir)
	if got, want := kindsOf(records(t, e)), []cache.Kind{cache.Context, cache.Layer, cache.Mount}; !slices.Equal(got, want) {
		t.Fatalf("there is %q, want %q", got, want)
	}
	e.Must(t, "cache", "prune", "--force", "--filter", "until=1h")
	if got := len(kindsOf(records(t, e))); got != 3 {
		t.Errorf("what was used just now was pruned: %v", records(t, e))
	}
	e.Must(t, "cache", "prune", "--force", "--filter", "type=context")
	if got, want := kindsOf(records(t, e)), []cache.Kind{cache.Layer, cache.Mount}; !slices.Equal(got, want) {
		t.Errorf("without contexts there is %q, want %q", got, want)
	}
	for _, prune := range [][]string{{"cache", "prune", "--all"}, {"builder", "prune", "-a"}, {"buildx", "prune", "--all"}} {
		put(t, dir, "input", strings.Join(prune, " "))
		runs(t, e, dir)
		out := e.Must(t, append(prune, "--force")...)
		if !strings.HasPrefix(out, "Deleted build cache objects:\n") || !strings.Contains(out, "\nTotal reclaimed space: ") {
			t.Errorf("%q says %q", prune, out)
		}
		if got, want := kindsOf(records(t, e)), []cache.Kind{cache.Mount}; !slices.Equal(got, want) {
			t.Errorf("after %q there is %q, want %q", prune, got, want)
		}
	}
	put(t, dir, "input", "last")
	if got := runs(t, e, dir); got != "5" {
		t.Errorf("the step ran %s times with this mount, want 5", got)
	}
	e.Must(t, "cache", "prune", "--force", "--mounts")
	if left := records(t, e); len(left) != 0 {
		t.Errorf("there is still %v", left)
	}
}

func TestRemovingFromTheCacheByIDAndByMount(t *testing.T) {
	e := unmeasured(t)
	dir := checkout(t, counting, "https://example.com/team/shop.git")
	runs(t, e, dir)
	if got := e.Must(t, "cache", "rm", "counter"); len(strings.Fields(got)) != 1 || len(mounts(t, e)) != 0 {
		t.Errorf("removing the mount says %q and leaves %q", got, mounts(t, e))
	}
	all := records(t, e)
	base := all[slices.IndexFunc(all, func(r cache.Record) bool { return strings.Contains(r.From, "COPY busybox") })]
	e.Must(t, "cache", "rm", base.ID[:8])
	for _, r := range records(t, e) {
		if r.Kind == cache.Layer && r.ID != base.ID && len(r.Parents) > 0 {
			t.Errorf("%s stood on %s and is still there", r.From, base.From)
		}
	}
	if r := e.Run(t, "cache", "rm", "nothing-of-this-name"); r.Code != 1 || !strings.Contains(r.Err, "there is no such record or cache mount") {
		t.Errorf("exit code %d, %q", r.Code, r.Err)
	}
}

// uncached has steps with a cache mount of each sort: empty at first, and with something in it.
const uncached = `FROM scratch AS base
COPY busybox /bin/busybox
FROM base AS one
RUN --mount=type=cache,target=/plain ["/bin/busybox", "sh", "-c", "echo run >> /plain/runs; /bin/busybox wc -l < /plain/runs > /runs"]
RUN --mount=type=cache,id=owned,target=/owned,uid=7 ["/bin/busybox", "sh", "-c", "echo run >> /owned/runs; /bin/busybox wc -l < /owned/runs >> /runs"]
FROM base AS two
RUN --mount=type=cache,id=other,target=/other ["/bin/busybox", "sh", "-c", "echo run >> /other/runs; /bin/busybox wc -l < /other/runs > /others"]
FROM scratch
COPY --from=one /runs /
COPY --from=two /others /
`

// unmeasured is an engine that never measures its cache: a step that wants a cache mount while BuildKit does
// gets another, which docs/caches.md says.
func unmeasured(t *testing.T) *lab.Engine {
	t.Helper()
	e := lab.New(t)
	e.Env = unbounded
	return e
}

// unbounded are the settings of such an engine.
var unbounded = []string{"LINNET_BUILD_CACHE_SIZE=0"}

// Steps that run again because of --no-cache have the cache mounts that they had, and their
// results take the place of the former ones.
func TestNoCacheKeepsCacheMounts(t *testing.T) {
	t.Parallel()
	e := unmeasured(t)
	dir := checkout(t, uncached, "https://example.com/team/shop.git")
	counts := func(flags ...string) (text, progress string) {
		t.Helper()
		out := t.TempDir()
		r := e.Run(t, append([]string{"build", "--progress", "plain", "--output", out, dir}, flags...)...)
		if r.Code != 0 {
			t.Fatalf("exit code %d\n%s", r.Code, r.Err)
		}
		for _, name := range []string{"runs", "others"} {
			part, err := os.ReadFile(filepath.Join(out, name))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			text += strings.ReplaceAll(string(part), "\n", " ")
		}
		return text, r.Err
	}
	for _, step := range []struct {
		flags []string
		want  string
		ran   int
	}{
		{nil, "1 1 1 ", 6},
		{nil, "1 1 1 ", 0},
		{[]string{"--no-cache"}, "2 2 2 ", 6},
		{nil, "2 2 2 ", 0},
		{[]string{"--no-cache-filter", "one", "--target", "one"}, "3 3 ", 2},
		{[]string{"--no-cache", "--platform", "linux/amd64"}, "4 4 3 ", 6},
		{nil, "4 4 3 ", 0},
	} {
		got, progress := counts(step.flags...)
		if got != step.want {
			t.Errorf("with %q the steps count %q, want %q\n%s", step.flags, got, step.want, progress)
		}
		if ran := notCached(progress); len(ran) != step.ran {
			t.Errorf("with %q these steps ran, and %d should have: %q\n%s", step.flags, step.ran, ran, progress)
		}
		if strings.Contains(progress, "ERROR") || strings.Contains(progress, "never run") {
			t.Errorf("what is done for it shows:\n%s", progress)
		}
	}
	if runs(t, e, dir, "--no-cache") != "5\n5" {
		t.Error("a directory: the steps do not go on counting")
	}
	archive, err := exec.Command("tar", "-C", dir, "-c", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	r := e.RunIn(t, bytes.NewReader(archive), "build", "--no-cache", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=linnet/example.com%2Fteam%2Fshop", "--output", out, "-")
	if text, err := os.ReadFile(filepath.Join(out, "runs")); err != nil || string(text) != "6\n6\n" {
		t.Errorf("an archive: the steps count %q, %v: exit code %d\n%s", text, err, r.Code, r.Err)
	}
	if got := mounts(t, e); len(got) != 3 {
		t.Errorf("there are the cache mounts %q", got)
	}
}

// Above twice its size the cache is collected, what is used now included, until it fits; a cache
// mount that is as large as all of that stays.
func TestGarbageCollectionKeepsCacheMounts(t *testing.T) {
	t.Parallel()
	e := lab.New(t)
	dir := checkout(t, `FROM scratch
COPY busybox /bin/busybox
RUN --mount=type=cache,id=large,target=/large ["/bin/busybox", "dd", "if=/dev/zero", "of=/large/file", "bs=1M", "count=110"]
RUN ["/bin/busybox", "dd", "if=/dev/zero", "of=/one", "bs=1M", "count=60"]
RUN ["/bin/busybox", "dd", "if=/dev/zero", "of=/two", "bs=1M", "count=60"]
`, "https://example.com/team/shop.git")
	e.Must(t, "build", "-q", "--output", "type=cacheonly", dir)
	sizes := func() (layers, mounts int64) {
		for _, r := range records(t, e) {
			switch r.Kind {
			case cache.Layer:
				layers += r.Size
			case cache.Mount:
				mounts += r.Size
			}
		}
		return layers, mounts
	}
	layers, large := sizes()
	if layers < 120<<20 || large < 110<<20 {
		t.Fatalf("layers take %d, cache mounts %d: the test proves nothing", layers, large)
	}
	e.Must(t, "engine", "stop")
	e.Env = []string{"LINNET_BUILD_CACHE_SIZE=100MiB"}
	e.Must(t, "engine", "start")
	lab.Eventually(t, "the cache to be collected", func() bool { layers, _ := sizes(); return layers < 90<<20 })
	if _, now := sizes(); now != large {
		t.Errorf("cache mounts took %d, and now %d", large, now)
	}
	e.Must(t, "engine", "stop")
	e.Env = []string{"LINNET_BUILD_CACHE_MOUNT_AGE=1s"}
	e.Must(t, "engine", "start")
	lab.Eventually(t, "cache mounts to be collected, since a setting says so", func() bool { _, mounts := sizes(); return mounts == 0 })
}
