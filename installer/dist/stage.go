package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// papers are the files for people that go along, by where they stand in the repository. They keep their places to each other, so
// that links between them hold.
var papers = []string{"LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "SECURITY.md", "config/linnet.yaml", "docs/*.md", "docs/*.svg"}

// docDir is where the papers go below a prefix.
const docDir = "share/doc/linnet"

// stage makes, in dir, what a target's archive holds.
func (d *dist) stage(ctx context.Context, t target, parts []part, pages, dir string) error {
	if err := d.buildPrograms(ctx, t, dir); err != nil {
		return err
	}
	for _, p := range parts {
		if err := copyFile(p.from, filepath.Join(dir, "libexec", "linnet", p.to), 0o755); err != nil {
			return fmt.Errorf("%s: %w", p.component.Name, err)
		}
	}
	if err := copyTree(pages, filepath.Join(dir, "share")); err != nil {
		return err
	}
	for _, pattern := range papers {
		files, err := filepath.Glob(filepath.Join(d.root, filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			return errors.Join(err, fmt.Errorf("there is no %s", pattern))
		}
		for _, file := range files {
			name, err := filepath.Rel(d.root, file)
			if err == nil {
				err = copyFile(file, filepath.Join(dir, filepath.FromSlash(docDir), name), 0o644)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// buildPrograms builds ours: the client for the target, and what runs beside the engine for Linux.
func (d *dist) buildPrograms(ctx context.Context, t target, dir string) error {
	version := "-s -w -buildid= -X github.com/linnet-dev/linnet/pkg/agent.Version=" + d.release.Version
	for _, name := range clients {
		if err := d.goBuild(ctx, t, name, filepath.Join(dir, "bin"), "-tags", "grpcnotrace", "-ldflags", version+d.imageFlag(t)); err != nil {
			return err
		}
	}
	programs := t.programs()
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		flags := []string{"-tags", "grpcnotrace", "-ldflags", version}
		if name == "linnet-env" {
			flags = []string{"-ldflags", "-s -w -buildid="} // steps of builds are cached by its bytes: as the Makefile builds it
		}
		if err := d.goBuild(ctx, target{"linux", t.Arch}, name, filepath.Join(dir, filepath.FromSlash(programs[name])), flags...); err != nil {
			return err
		}
	}
	return nil
}

// goBuild builds a program of ours into dir. What it depends on of this machine is the Go version alone.
func (d *dist) goBuild(ctx context.Context, t target, name, dir string, flags ...string) error {
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly"}, flags, []string{"-o", filepath.Join(dir, name), "./cmd/" + name})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+t.OS, "GOARCH="+t.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// writePages has the man pages, the command reference and the completions of shells written into dir, as below share.
func (d *dist) writePages(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./installer/reference", "-version", d.release.Name(), "-date", d.release.Time.Format("2006-01-02"), dir)
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("writing man pages: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// settle gives all files of a stage the one time, and the modes of files that all may read: what packs them takes both as they are.
func settle(stage string, when time.Time) error {
	return filepath.WalkDir(stage, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return errors.Join(os.Chmod(path, mode), os.Chtimes(path, when, when))
	})
}

// listName is the list of an archive's files, below a prefix: what is installed is removed by it.
const listName = "libexec/linnet/files"

// writeList lists the files of a stage, the list included, by their slash-separated paths.
func writeList(stage string) error {
	names := []string{listName}
	err := filepath.WalkDir(stage, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(stage, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	list := filepath.Join(stage, filepath.FromSlash(listName))
	if err := os.MkdirAll(filepath.Dir(list), 0o755); err != nil {
		return err
	}
	return os.WriteFile(list, []byte(strings.Join(names, "\n")+"\n"), 0o644)
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyFile(path, filepath.Join(to, name), 0o644)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
