//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/linnet-dev/linnet/e2e/internal/lab"
)

// mostRatio is what a command may take of what it takes in another build of linnet.
const mostRatio = 1.03

// runAgainst measures commands of this tree's linnet beside those of another's, each on an engine of its own.
func (b *bench) runAgainst(tree string) (err error) {
	if b.dir, err = os.MkdirTemp("", "linnet-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if tree, err = filepath.Abs(tree); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(tree, "bin", "linnet")); err != nil {
		return fmt.Errorf("-against names a tree with bin and libexec: %w", err)
	}
	image, err := b.nothing()
	if err != nil {
		return err
	}
	var engines []*lab.Engine
	for _, tree := range []string{tree, ""} {
		engine, done, err := lab.OpenTree(tree)
		if err != nil {
			return err
		}
		defer done()
		build := exec.Command(engine.Linnet(), "build", "--quiet", "--tag", "nothing", image)
		build.Env = engine.Environ()
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building an image to run: %w\n%s", err, out)
		}
		engines = append(engines, engine)
	}
	var failed []error
	for _, g := range []struct {
		name string
		argv []string
	}{
		{"linnet ps", []string{"ps"}},
		{"linnet run --rm, without a network", []string{"run", "--rm", "--network=none", "nothing", "/true"}},
		{"linnet run --rm, bridged", []string{"run", "--rm", "nothing", "/true"}},
	} {
		var commands []command
		for i, engine := range engines {
			c := command{Name: "that of " + tree, argv: append([]string{engine.Linnet()}, g.argv...), env: engine.Environ()}
			if i > 0 {
				c.Name, c.ratio = "this one", mostRatio
			}
			commands = append(commands, c)
		}
		failed = append(failed, b.group(g.name, true, commands))
	}
	return errors.Join(failed...)
}

// nothing is a context for an image whose one program does nothing.
func (b *bench) nothing() (dir string, err error) {
	program, err := busybox()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(b.dir, "nothing")
	return dir, errors.Join(
		os.Mkdir(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY busybox /true\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "busybox"), program, 0o755),
	)
}
