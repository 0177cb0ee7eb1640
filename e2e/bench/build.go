//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// builders are the three ways to build with the same engine.
type builders struct {
	linnet string
	env    []string
	// there is a program beside the engine, and its arguments: "nerdctl" or "buildctl".
	there func(argv ...string) command
	// cost is what linnet's cached build may take more than raw buildctl; 0 where there is no budget.
	cost time.Duration
	dir  string
	// where is added to the names of groups, and smaller divides the sizes of their files.
	where   string
	smaller int
}

// name is that of a group, with the size in MB of what it builds, if there is one.
func (x *builders) name(group string, mib ...any) string { return fmt.Sprintf(group, mib...) + x.where }

// native are the builders of an engine of this host.
func native(engine *lab.Engine, dir string) *builders {
	bin := filepath.Join(lab.Root(), "libexec", "linnet", "bin")
	home := filepath.Join(engine.Home, "native")
	env := append(
		engine.Environ(), "NERDCTL_TOML="+filepath.Join(home, "etc", "nerdctl.toml"),
		"BUILDKIT_HOST=unix://"+filepath.Join(home, "run", "buildkitd.sock"), "PATH="+bin+":"+os.Getenv("PATH"),
	)
	return &builders{
		linnet: lab.Linnet(), env: env, dir: dir, cost: 8 * time.Millisecond, smaller: 1,
		there: func(argv ...string) command {
			return command{argv: append([]string{filepath.Join(bin, argv[0])}, argv[1:]...), env: env}
		},
	}
}

// builds compares linnet's builds with nerdctl's and with raw buildctl's. After each group the images that came out
// are compared: their layers have to be the same.
func (b *bench) builds(x *builders) error {
	var failed []error
	for _, part := range []func(*bench) error{x.cached, x.alternating, x.changed, x.platforms, x.cold} {
		failed = append(failed, part(b))
	}
	return errors.Join(failed...)
}

// project makes a context: a Dockerfile, and files of so many bytes each.
func (x *builders) project(name, dockerfile string, files map[string]int) (string, error) {
	dir := filepath.Join(x.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return "", err
	}
	block := make([]byte, 1<<20)
	for file, size := range files {
		_, _ = rand.Read(block) // it never fails
		f, err := os.Create(filepath.Join(dir, file))
		if err != nil {
			return "", err
		}
		for ; size > 0; size -= len(block) {
			if _, err := f.Write(block[:min(size, len(block))]); err != nil {
				f.Close()
				return "", err
			}
		}
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (x *builders) byBuildctl(tag, dir string) command {
	c := x.there(
		"buildctl", "build", "--progress=plain", "--frontend=dockerfile.v0", "--local=context="+dir, "--local=dockerfile="+dir,
		"--output=type=image,name=docker.io/library/"+tag+":latest,unpack=true",
	)
	c.Name = "buildctl build"
	return c
}

func (x *builders) byNerdctl(tag string, args ...string) command {
	c := x.there(append([]string{"nerdctl", "build", "--progress=plain", "-t", tag}, args...)...)
	c.Name = "nerdctl build"
	return c
}

func (x *builders) byLinnet(tag string, args ...string) command {
	return command{Name: "linnet build", argv: append([]string{x.linnet, "build", "--progress=plain", "-t", tag}, args...), env: x.env}
}

// output is what a program beside the engine prints.
func (x *builders) output(argv ...string) (string, error) {
	_, _, out, err := x.there(argv...).measure()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out.said)
	}
	return strings.TrimSpace(string(out.printed)), nil
}

// same fails when the images do not have the same layers.
func (x *builders) same(platform string, tags ...string) error {
	var first string
	for i, tag := range tags {
		layers, err := x.output("nerdctl", "image", "inspect", "--platform", platform, "--format", "{{json .RootFS.Layers}}", tag)
		if err != nil {
			return err
		}
		if i == 0 {
			first = layers
		}
		if layers != first || !strings.Contains(layers, "sha256:") {
			return fmt.Errorf("the images %v differ: %s, %s", tags, first, layers)
		}
	}
	return nil
}

const host = "linux/amd64"

func (x *builders) cached(b *bench) error {
	dir, err := x.project("cached", "FROM scratch\nCOPY a b /\nLABEL c=d\nCOPY c /c\n", map[string]int{"a": 10, "b": 1000, "c": 100000})
	if err != nil {
		return err
	}
	linnet := x.byLinnet("cached-linnet", dir)
	linnet.within = x.cost
	return errors.Join(
		b.group(x.name("a cached build"), false, []command{x.byBuildctl("cached-buildctl", dir), linnet, x.byNerdctl("cached-nerdctl", dir)}),
		x.same(host, "cached-buildctl", "cached-linnet", "cached-nerdctl"),
	)
}

// few runs a group that takes long.
func (b *bench) few(name string, commands []command) error {
	rounds := b.rounds
	b.rounds = min(rounds, 3)
	defer func() { b.rounds = rounds }()
	return b.group(name, false, commands)
}

func (x *builders) alternating(b *bench) error {
	var dirs []string
	for _, name := range []string{"one", "two"} {
		files := map[string]int{}
		for i := range 100 {
			files[fmt.Sprint("file", i)] = 2 << 20 / x.smaller
		}
		dir, err := x.project(name, "FROM scratch\nCOPY . /\n", files)
		if err != nil {
			return err
		}
		dirs = append(dirs, dir)
	}
	nerdctl, linnet := x.byNerdctl("one-nerdctl", dirs[0]), x.byLinnet("one-linnet", dirs[0])
	nerdctl.then, linnet.then = x.byNerdctl("two-nerdctl", dirs[1]).argv, x.byLinnet("two-linnet", dirs[1]).argv
	linnet.ratio = 0.15
	return errors.Join(
		b.few(x.name("two projects of %d MB in turn, unchanged", 200/x.smaller), []command{nerdctl, linnet}),
		x.same(host, "one-nerdctl", "one-linnet"), x.same(host, "two-nerdctl", "two-linnet"),
	)
}

func (x *builders) changed(b *bench) error {
	dir, err := x.project("changed", "FROM scratch\nCOPY big /big\nCOPY line /line\n", map[string]int{"big": 500 << 20 / x.smaller, "line": 10})
	if err != nil {
		return err
	}
	round := 0
	edit := func() error {
		round++
		return os.WriteFile(filepath.Join(dir, "line"), fmt.Appendf(nil, "line %d\n", round), 0o644)
	}
	nerdctl, linnet, buildctl := x.byNerdctl("changed-nerdctl", dir), x.byLinnet("changed-linnet", dir), x.byBuildctl("changed-buildctl", dir)
	nerdctl.before, linnet.before, buildctl.before, linnet.ratio = edit, edit, edit, 0.5
	return b.group(x.name("one line changed in an image of %d MB", 500/x.smaller), false, []command{nerdctl, linnet, buildctl})
}

func (x *builders) platforms(b *bench) error {
	dir, err := x.project("platforms", "FROM scratch\nCOPY big /big\nARG TARGETARCH\nENV ARCH=$TARGETARCH\n", map[string]int{"big": 100 << 20 / x.smaller})
	if err != nil {
		return err
	}
	const both = "--platform=linux/amd64,linux/arm64"
	nerdctl, linnet := x.byNerdctl("platforms-nerdctl", both, dir), x.byLinnet("platforms-linnet", both, dir)
	linnet.ratio = 0.5
	return errors.Join(
		b.few(x.name("two platforms into the image store"), []command{nerdctl, linnet}),
		x.same(host, "platforms-nerdctl", "platforms-linnet"), x.same("linux/arm64", "platforms-nerdctl", "platforms-linnet"),
	)
}

// busybox is the program of that name, to be put into images.
func busybox() ([]byte, error) {
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("the static busybox is missing (apt install busybox-static): %w", err)
	}
	return program, nil
}

// container runs one that does nothing, from start to end.
func (x *builders) container(b *bench) error {
	program, err := busybox()
	if err != nil {
		return err
	}
	dir, err := x.project("container", "FROM scratch\nCOPY busybox /true\n", nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), program, 0o755); err != nil {
		return err
	}
	if _, _, out, err := x.byLinnet("container", dir).measure(); err != nil {
		return fmt.Errorf("building an image to run: %w\n%s", err, out.said)
	}
	run := []string{"run", "--rm", "--network=none", "container", "/true"}
	nerdctl := x.there(append([]string{"nerdctl"}, run...)...)
	nerdctl.Name = "nerdctl run"
	return b.group(x.name("a container that does nothing, from start to end"), true, []command{
		nerdctl,
		{Name: "linnet run", argv: append([]string{x.linnet}, run...), env: x.env},
	})
}

func (x *builders) cold(b *bench) error {
	program, err := busybox()
	if err != nil {
		return err
	}
	const dockerfile = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY files /files
RUN for i in 1 2 3; do sha256sum /files >/sum$i; done
RUN mkdir -p /etc && echo done >/etc/done
`
	dir, err := x.project("cold", dockerfile, map[string]int{"files": 50 << 20 / x.smaller})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), program, 0o755); err != nil {
		return err
	}
	prune := func() error {
		for _, tag := range []string{"cold-nerdctl", "cold-linnet"} {
			_, _ = x.output("nerdctl", "rmi", "-f", tag) // the first time there is none
		}
		_, err := x.output("buildctl", "prune", "--all")
		return err
	}
	nerdctl, linnet := x.byNerdctl("cold-nerdctl", dir), x.byLinnet("cold-linnet", dir)
	nerdctl.before, linnet.before, linnet.ratio = prune, prune, 1.05
	return b.few(x.name("a cold build, pruned before each"), []command{nerdctl, linnet})
}

// memory is how much of it the client takes at most while it sends 2 GB.
func (x *builders) memory(b *bench) error {
	files := map[string]int{}
	for i := range 20 {
		files[fmt.Sprint("file", i)] = 100 << 20
	}
	dir, err := x.project("memory", "FROM scratch\nCOPY file0 /\n", files)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch AS all\nCOPY . /\nFROM scratch\nCOPY --from=all /Dockerfile /\n"), 0o644); err != nil {
		return err
	}
	argv := x.byLinnet("memory", dir).argv
	cmd := exec.Command(argv[0], argv[1:]...)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = x.env, &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sending 2 GB: %w\n%s", err, out.Bytes())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("sending 2 GB: no account of what it used")
	}
	b.peaks = append(b.peaks, peak{Name: "linnet build, a context of 2 GB", Bytes: usage.Maxrss << 10, Budget: 150 << 20})
	return nil
}

// peak is what a command had in memory at most, in bytes.
type peak struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"peakBytes"`
	Budget int64  `json:"budgetBytes"`
}

func (b *bench) has(group string) bool { return len(b.only) == 0 || slices.Contains(b.only, group) }
