//go:build e2e && linux

package docker_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// api is Docker's API without a program.
func (c *client) api() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.socket())
	}}}
}

// theirs lists the images with names as Docker's API does, each with its digest.
func (c *client) theirs(t testing.TB) (all []string) {
	t.Helper()
	answer, err := c.api().Get("http://docker/images/json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var listed []struct {
		ID       string `json:"Id"`
		RepoTags []string
	}
	if err := json.NewDecoder(answer.Body).Decode(&listed); err != nil {
		t.Fatal(err)
	}
	for _, image := range listed {
		for _, tag := range image.RepoTags {
			all = append(all, tag+" "+image.ID)
		}
	}
	slices.Sort(all)
	return all
}

// ours lists them as linnet does.
func (c *client) ours(t testing.TB) (all []string) {
	t.Helper()
	for line := range strings.Lines(c.Must(t, "images", "--no-trunc", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}")) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "<none>") {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// How soon one side knows what the other has done, and how soon what it removed comes back because the other uses it: a client
// that replaces an image removes it first, and has three seconds for that.
const (
	promptly = time.Second
	putBack  = 5 * time.Second
)

// agree waits until both sides list the same, and returns how long that took.
func (c *client) agree(t testing.TB, after string, within time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		asked := time.Since(begun)
		ours, theirs := c.ours(t), c.theirs(t)
		if slices.Equal(ours, theirs) {
			return asked
		}
		if asked > within {
			t.Errorf("%s: after %v linnet lists\n%s\nand docker\n%s", after, asked, strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
			return asked
		}
	}
}

// What one side builds, pulls, tags, removes or loads, the other lists the same within a second.
func TestBothSidesListTheSame(t *testing.T) {
	c, registry := ownClient(t), lab.NewRegistry(t)
	registry.PushBusybox(t, "base:v1")
	base := "127.0.0.1:" + registry.Port + "/base:v1"
	dir := write(t, map[string]string{
		"a/Dockerfile": "FROM " + image + "\nRUN echo a >/text\n", "b/Dockerfile": "FROM " + image + "\nRUN echo b >/text\n",
		"c/Dockerfile": "FROM " + image + "\nRUN echo c >/text\n",
	})
	tar := filepath.Join(dir, "tar")
	linnet := func(args ...string) { t.Helper(); c.Must(t, args...) }
	docker := func(args ...string) { t.Helper(); c.must(t, args...) }
	longest := c.agree(t, "the start", promptly)
	for _, step := range []struct {
		name string
		does func(args ...string)
		args []string
		has  string // what the list has then; with a ! what it has not
	}{
		{"linnet build", linnet, []string{"build", "-q", "-t", "one:a", dir + "/a"}, "one:a"},
		{"docker build", docker, []string{"build", "-q", "-t", "two:b", dir + "/b"}, "two:b"},
		{"linnet build, the same name again", linnet, []string{"build", "-q", "-t", "one:a", dir + "/c"}, "one:a"},
		{"docker build, the other's name", docker, []string{"build", "-q", "-t", "one:a", dir + "/b"}, "one:a"},
		{"linnet tag", linnet, []string{"tag", "two:b", "three:b"}, "three:b"},
		{"docker tag", docker, []string{"tag", "one:a", "four:a"}, "four:a"},
		{"docker tag, a name that was another's", docker, []string{"tag", image, "three:b"}, "three:b"},
		{"linnet rmi", linnet, []string{"rmi", "four:a"}, "!four:a"},
		{"docker rmi", docker, []string{"rmi", "three:b"}, "!three:b"},
		{"linnet pull", linnet, []string{"pull", "-q", base}, base},
		{"docker rmi of what linnet pulled", docker, []string{"rmi", base}, "!" + base},
		{"docker pull", docker, []string{"pull", "-q", base}, base},
		{"linnet rmi of what docker pulled", linnet, []string{"rmi", base}, "!" + base},
		{"docker save", docker, []string{"save", "-o", tar, "two:b"}, "two:b"},
		{"linnet rmi, to load it again", linnet, []string{"rmi", "two:b"}, "!two:b"},
		{"docker load", docker, []string{"load", "-q", "-i", tar}, "two:b"},
		{"docker rmi, to load it again", docker, []string{"rmi", "two:b"}, "!two:b"},
		{"linnet load", linnet, []string{"load", "-q", "-i", tar}, "two:b"},
		{"docker buildx build --load", docker, []string{"buildx", "build", "-q", "--load", "-t", "five", dir + "/c"}, "five:latest"},
	} {
		step.does(step.args...)
		longest = max(longest, c.agree(t, step.name, promptly))
		name, gone := strings.CutPrefix(step.has, "!")
		if has := slices.ContainsFunc(c.theirs(t), func(line string) bool { return strings.HasPrefix(line, name+" ") }); has == gone {
			t.Errorf("%s: %s is listed: %v", step.name, name, has)
		}
	}
	t.Logf("the longest took %v", longest)
	// Each side runs what the other has made.
	if got := c.Must(t, "run", "--rm", "--network=none", "five", "cat", "/text"); got != "c" {
		t.Errorf("linnet runs docker's: %q", got)
	}
	c.Must(t, "build", "-q", "-t", "six", dir+"/a")
	c.agree(t, "the last build", promptly)
	if got := c.must(t, "run", "--rm", "--network=none", "six", "cat", "/text"); got != "a" {
		t.Errorf("docker runs linnet's: %q", got)
	}
}

// asleep waits until dockerd is asleep.
func (c *client) asleep(t testing.TB) {
	t.Helper()
	lab.Eventually(t, "dockerd to sleep", func() bool { return c.daemon(t, "dockerd").State == "asleep" })
}

// Images that containers of one side use, stopped ones too, outlive what the other side removes and prunes.
func TestImagesInUseOutliveTheOtherSide(t *testing.T) {
	c := ownClient(t, "LINNET_DOCKER_IDLE=2s")
	make := func(names ...string) {
		for _, name := range names {
			dir := write(t, map[string]string{"Dockerfile": "FROM " + image + "\nRUN echo " + name + " >/text\nCMD [\"sleep\", \"1000\"]\n"})
			c.Must(t, "build", "-q", "-t", name, dir)
		}
		c.agree(t, "a build", promptly)
	}
	make("stopped", "running", "unused")
	c.must(t, "run", "--name", "stopped", "stopped", "cat", "/text")
	c.must(t, "run", "-d", "--name", "running", "running")
	works := func(when string) {
		t.Helper()
		c.agree(t, when, putBack)
		for _, name := range []string{"stopped", "running"} {
			if r := c.run(t, nil, "image", "inspect", name); r.Code != 0 {
				t.Errorf("%s: docker has lost %s: %s", when, name, r.Err)
			}
			if r := c.run(t, nil, "commit", name, "committed"); r.Code != 0 {
				t.Errorf("%s: commit of %s: %s", when, name, r.Err)
			}
			c.run(t, nil, "rmi", "committed")
		}
		if r := c.run(t, nil, "start", "-a", "stopped"); r.Out != "stopped\n" {
			t.Errorf("%s: starting: %+v", when, r)
		}
		if r := c.run(t, nil, "run", "--rm", "--network=none", "running", "cat", "/text"); r.Out != "running\n" {
			t.Errorf("%s: another container of the image: %+v", when, r)
		}
	}
	c.Must(t, "image", "prune", "-a", "-f")
	works("after linnet image prune -a")
	if r := c.run(t, nil, "image", "inspect", "unused"); r.Code == 0 {
		t.Error("an image that no container uses was to be pruned on both sides")
	}
	c.Run(t, "rmi", "-f", "stopped", "running")
	works("after linnet rmi")

	c.must(t, "rm", "-f", "running")
	c.asleep(t)
	c.Must(t, "image", "prune", "-a", "-f")
	c.Run(t, "rmi", "-f", "stopped")
	if s := c.daemon(t, "dockerd").State; s != "asleep" {
		t.Errorf("dockerd is %s", s)
	}
	if r := c.run(t, nil, "start", "-a", "stopped"); r.Out != "stopped\n" {
		t.Errorf("after a prune while dockerd was asleep: %+v", r)
	}
	c.must(t, "rm", "stopped")
	c.agree(t, "the removal of the last container of an image that linnet removed", putBack)

	c.Busybox(t) // pruned, as it should be
	make("ours-stopped", "ours-running")
	c.Must(t, "run", "--name", "ours-stopped", "--network=none", "ours-stopped", "cat", "/text")
	c.Must(t, "run", "-d", "--name", "ours-running", "--network=none", "ours-running")
	for _, prune := range [][]string{
		{"image", "prune", "-a", "-f"},
		{"rmi", "-f", "ours-stopped", "ours-running"},
		{"system", "prune", "-a", "-f", "--volumes"},
	} {
		c.run(t, nil, prune...)
		when := "after docker " + strings.Join(prune, " ")
		c.agree(t, when, putBack)
		if r := c.Run(t, "start", "-a", "ours-stopped"); r.Out != "ours-stopped\n" {
			t.Errorf("%s: starting: %+v", when, r)
		}
		for _, name := range []string{"ours-stopped", "ours-running"} {
			if r := c.Run(t, "commit", name, "committed"); r.Code != 0 {
				t.Errorf("%s: commit of %s: %s", when, name, r.Err)
			}
			c.Run(t, "rmi", "committed")
			if r := c.Run(t, "run", "--rm", "--network=none", name, "cat", "/text"); r.Out != name+"\n" {
				t.Errorf("%s: another container of %s: %+v", when, name, r)
			}
		}
	}
}

// Neither side's lists and removals reach the other's containers, networks and volumes.
func TestEachSideSparesTheOthers(t *testing.T) {
	c := ownClient(t)
	for _, side := range []struct {
		name string
		must func(testing.TB, ...string) string
	}{{"docker", c.must}, {"linnet", c.Must}} {
		side.must(t, "volume", "create", "data")
		side.must(t, "network", "create", "net")
		side.must(t, "run", "-d", "--name", "one", "-v", "data:/data", "--network", "net", image, "sh", "-c", "echo "+side.name+" >/data/side; exec sleep 1000")
		side.must(t, "create", "--name", "two", image, "true")
	}
	all := strings.Fields(c.Must(t, "ps", "-aq"))
	if len(all) != 2 {
		t.Errorf("linnet lists %q", all)
	}
	pid := c.must(t, "inspect", "-f", "{{.State.Pid}}", "one")
	c.Must(t, append([]string{"rm", "-f"}, all...)...)
	c.Must(t, "system", "prune", "-a", "-f", "--volumes")
	c.Must(t, "container", "prune", "-f")
	if got := c.must(t, "ps", "-a", "--format", "{{.Names}} {{.State}}"); got != "two created\none running" {
		t.Errorf("after linnet's removals docker lists\n%s", got)
	}
	if now := c.must(t, "inspect", "-f", "{{.State.Pid}}", "one"); now != pid {
		t.Errorf("the container was process %s and is %s", pid, now)
	}
	if got := c.must(t, "exec", "one", "cat", "/data/side"); got != "docker" {
		t.Errorf("docker's volume has %q", got)
	}
	lab.Eventually(t, "the image that docker's containers use to be back", func() bool { return c.Must(t, "images", "-q", image) != "" })
	c.Must(t, "run", "-d", "--name", "one", image, "sleep", "1000")
	c.must(t, "rm", "-f", "one", "two")
	c.must(t, "system", "prune", "-a", "-f", "--volumes")
	if got := c.Must(t, "ps", "--format", "{{.Names}}"); got != "one" {
		t.Errorf("after docker's removals linnet lists %q", got)
	}
	if got := c.Must(t, "exec", "one", "echo", "on"); got != "on" {
		t.Errorf("exec: %q", got)
	}
}

// system df counts what both sides have, and the images that they share once.
func TestDiskUsageOfBothSides(t *testing.T) {
	c := ownClient(t)
	for _, must := range []func(testing.TB, ...string) string{c.must, c.Must} {
		must(t, "volume", "create", "data")
		must(t, "run", "--name", "one", "--network", "none", "-v", "data:/data", image, "sh", "-c", "head -c 1000000 /dev/zero | tee /data/file >/file")
		must(t, "run", "-d", "--name", "two", "--network", "none", image, "sleep", "1000")
	}
	c.must(t, "build", "-q", "-t", "built", write(t, map[string]string{"Dockerfile": "FROM " + image + "\nRUN head -c 1000000 /dev/zero >/file\n"}))
	c.agree(t, "the build", promptly)
	rows := map[string][]string{}
	for line := range strings.Lines(c.Must(t, "system", "df", "--format", "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}")) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		rows[cells[0]] = cells[1:]
	}
	for kind, want := range map[string][]string{
		"Images":        {"2", "1"},
		"Containers":    {"4", "2"}, // their size depends on the file system's blocks
		"Local Volumes": {"2", "2", "2MB", "0B (0%)"},
	} {
		if got := rows[kind]; len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	if got := rows["Build Cache"]; len(got) == 0 || got[0] == "0" {
		t.Errorf("docker's build cache is not counted: %q", got)
	}
	all := c.Must(t, "system", "df", "-v")
	for _, want := range []string{"docker.io/linnet-test/busybox:latest", "data\t1MB\tyes\tlinnet", "data\t1MB\tyes\tdocker"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}
