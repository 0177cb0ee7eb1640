package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/linnet-dev/linnet/deps"
)

// builder makes jobs and installs them.
type builder struct {
	modules   string // the directory with one Go module per component
	prefix    string
	cache     string
	goos      string
	goarch    string
	goCommand string
	log       io.Writer
	// module is the one module below modules that everything comes from; empty means that
	// each component has its own, by its name.
	module string
	// mends are those of the components, and without the names of the ones that are left out: tests alone do that.
	mends   []deps.Mend
	without []string
}

// install makes the prefix hold the wanted components. Each one is in the manifest as soon as
// it is in the prefix, so that an interrupted run goes on where it was.
func (b *builder) install(ctx context.Context, wanted []deps.Component) error {
	start := time.Now()
	unlock, err := lockCache(ctx, b.cache, func() { b.say("waiting for another run, which holds %s", b.cache) })
	if err != nil {
		return err
	}
	defer unlock()
	if err := sweep(b.cache); err != nil {
		return err
	}
	if err := b.check(ctx, wanted); err != nil {
		return err
	}
	if err := os.MkdirAll(b.prefix, 0o755); err != nil {
		return err
	}
	installed, err := readManifest(b.prefix)
	if err != nil {
		return err
	}
	changed := 0
	for _, c := range wanted {
		next, err := b.provide(ctx, c, installed.of(c.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if next == nil {
			continue
		}
		changed++
		installed = installed.with(*next)
		if err := installed.write(b.prefix); err != nil {
			return err
		}
	}
	if changed == 0 {
		b.say("nothing to do: %s in %s as pinned (%s)", count(len(wanted)), b.prefix, elapsed(start))
	} else {
		b.say("%s in %s, %d of them new (%s)", count(len(wanted)), b.prefix, changed, elapsed(start))
	}
	return nil
}

// check finds out before the first long build what would make a later one fail.
func (b *builder) check(ctx context.Context, wanted []deps.Component) error {
	for _, c := range wanted {
		if _, known := c.Cross[b.goarch]; b.crosses(c) && !known {
			return &hintError{
				fmt.Errorf("%s: needs cgo and cannot be built for %s on %s", c.Name, b.goarch, runtime.GOARCH),
				"run this on a machine with " + b.goarch + ", or name the other components",
			}
		}
	}
	return lacksError(b.missing(ctx, wanted))
}

// provide brings one component into the prefix, and returns its new record or, when it is
// there already, nil.
func (b *builder) provide(ctx context.Context, c deps.Component, old record) (*record, error) {
	start := time.Now()
	j, err := b.plan(ctx, c)
	if err != nil {
		return nil, err
	}
	if old.Key == j.key && len(old.Files) == len(j.commands) && old.untouched(b.prefix) {
		return nil, nil
	}
	made, found := b.cached(j)
	how := "from the cache"
	if !found {
		how = "built"
		if made, err = b.build(ctx, j); err != nil {
			return nil, err
		}
	}
	if made, err = b.place(filepath.Join(b.cache, j.entry()), made); err != nil {
		return nil, err
	}
	for _, path := range old.leftOver(made) {
		if err := os.Remove(filepath.Join(b.prefix, filepath.FromSlash(path))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	b.say("%s: %s (%s)", title(c), how, elapsed(start))
	return &made, nil
}

// place puts the files of a directory of the cache into the prefix, each at once: a program that
// runs goes on running, and one that is started meets the old or the new file, never half. It
// returns r with the times of the files as they now are.
func (b *builder) place(entry string, r record) (record, error) {
	r.Files = slices.Clone(r.Files)
	for i, f := range r.Files {
		to := filepath.Join(b.prefix, filepath.FromSlash(f.Path))
		if err := replaceFile(filepath.Join(entry, filepath.FromSlash(f.Path)), to); err != nil {
			return record{}, err
		}
		info, err := os.Stat(to)
		if err != nil {
			return record{}, err
		}
		r.Files[i].Modified = info.ModTime().UnixNano()
	}
	return r, nil
}

func replaceFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(to), ".new-"+filepath.Base(to))
	if err := os.RemoveAll(temp); err != nil { // an interrupted run's
		return err
	}
	if err := os.Link(from, temp); err != nil { // another file system
		if err := copyFile(from, temp); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	// Renaming one name of a file onto another name of the same file leaves both.
	return os.RemoveAll(temp)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// compile runs go build for one program, in dir. Its temporary files stay below work, which goes away
// with the build even when it is killed.
func (b *builder) compile(ctx context.Context, j job, c command, dir, work, to string) error {
	b.say("%s: building %s", title(j.component), c.File)
	cmd := b.goCmd(ctx, dir, slices.Concat(c.Args, []string{"-o", to, c.From})...)
	cmd.Env = slices.Concat(cmd.Env, c.Env, j.sysroot.env(), []string{"GOTMPDIR=" + work})
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("building %s: interrupted", c.File)
		}
		text := lastLines(out.String(), 20)
		err := fmt.Errorf("building %s: %w\n%s", c.File, err, text)
		if hint := buildHint(text); hint != "" {
			return &hintError{err, hint}
		}
		return err
	}
	return nil
}

// goCmd is Go in one of the modules. The machine's own Go configuration (proxy, checksum
// database, private modules) holds, but for what would make the result depend on the machine.
func (b *builder) goCmd(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.goCommand, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // Go then tidies up after itself
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func (b *builder) output(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := b.goCmd(ctx, dir, args...)
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines(string(exit.Stderr), 20))
	}
	return out, err
}

func (b *builder) say(format string, args ...any) {
	fmt.Fprintf(b.log, "deps: "+format+"\n", args...)
}

func count(n int) string {
	if n == 1 {
		return "1 component"
	}
	return fmt.Sprintf("%d components", n)
}

func elapsed(since time.Time) string {
	return fmt.Sprintf("%.1f s", time.Since(since).Seconds())
}

// lastLines are the last n lines of a text that say something other than a download.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "go: downloading ") })
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// buildHint anticipates why a build fails on a machine where it has never run.
func buildHint(text string) string {
	switch {
	case strings.Contains(text, "go.mod requires go >="):
		return "install the Go version named above, or let Go fetch it: GOTOOLCHAIN=auto"
	case strings.Contains(text, "go: updates to go.mod needed"), strings.Contains(text, "missing go.sum entry"):
		return "the module and its pin do not agree: see \"Moving a pin\" in deps/README.md"
	case strings.Contains(text, "dial tcp"), strings.Contains(text, "no such host"), strings.Contains(text, "i/o timeout"):
		return "Go could not fetch a module: check the network and `go env GOPROXY`"
	case strings.Contains(text, "no space left on device"):
		return "free some space, or name another cache with -cache"
	}
	return ""
}
