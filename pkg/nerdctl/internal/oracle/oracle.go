// Package oracle builds and asks the pinned nerdctl's own command tree, in a process of its
// own. The generator takes the tables from it, and the differential test compares with it.
// It is a tool of the build and of tests: nothing of it is in the client.
package oracle

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const module = "github.com/containerd/nerdctl/v2"

//go:embed testdata/oracle.go.in
var source []byte

// Oracle is a nerdctl that answers for its command tree.
type Oracle struct {
	// Program is the executable; Repository is the root of this repository.
	Program, Repository string
}

// Answer is what nerdctl's own command tree made of one command line.
type Answer struct {
	// Path is the command's canonical path, without the program.
	Path []string
	// Flags are the values that flags accepted, in order, but for cobra's own help and version.
	Flags []Value
	// Args are the positionals; Dash is how many stood before "--", or -1.
	Args []string
	Dash int
	// Help and Version say that this is what would have been printed.
	Help, Version bool
	// Error is why the command line was refused, or empty.
	Error string
}

// Value is one use of a flag.
type Value struct{ Name, Value string }

// Build returns the oracle of the nerdctl that deps/nerdctl pins, built at most once per
// content: the result is kept in the dependency cache under a hash of all that enters it.
//
// The engine's side is always Linux, and nerdctl has other flags elsewhere: so is the oracle.
func Build(ctx context.Context) (*Oracle, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("building the nerdctl oracle: it speaks for nerdctl on Linux, and this is %s", runtime.GOOS)
	}
	repo, err := repository()
	if err != nil {
		return nil, err
	}
	deps := filepath.Join(repo, "deps", "nerdctl")
	key, err := contentKey(deps)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	o := &Oracle{Program: filepath.Join(cache, "nerdctl-oracle-"+key), Repository: repo}
	if _, err := os.Stat(o.Program); err == nil {
		return o, nil
	}
	if err := build(ctx, deps, o.Program); err != nil {
		return nil, fmt.Errorf("building the nerdctl oracle: %w", err)
	}
	return o, nil
}

// Dump returns the command tree as JSON, seen in exactly the environment env.
func (o *Oracle) Dump(ctx context.Context, env []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, o.Program)
	cmd.Env = append([]string{"LINNET_ORACLE=dump"}, env...)
	return output(cmd)
}

// Parse has each command line parsed, in one process.
func (o *Oracle) Parse(ctx context.Context, argvs [][]string) ([]Answer, error) {
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, argv := range argvs {
		if err := enc.Encode(argv); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, o.Program)
	cmd.Env = []string{"LINNET_ORACLE=parse", "HOME=/nonexistent", "PATH=/nonexistent", "NERDCTL_TOML=/nonexistent"}
	cmd.Stdin = &in
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer, 0, len(argvs))
	dec := json.NewDecoder(bytes.NewReader(out))
	for range argvs {
		var a Answer
		if err := dec.Decode(&a); err != nil {
			return nil, fmt.Errorf("reading answer %d of the nerdctl oracle: %w", len(answers)+1, err)
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// SourceDir is where the pinned nerdctl's source stands on this machine.
func (o *Oracle) SourceDir(ctx context.Context) (string, error) {
	return moduleDir(ctx, filepath.Join(o.Repository, "deps", "nerdctl"))
}

func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("running the nerdctl oracle: %w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return out, err
}

// build makes the program in a directory of its own and moves it into place when it is whole.
//
// The module cache is read-only and takes no overlay, so the module is copied; the copy keeps
// the module's path and is built with the versions that deps/nerdctl chose.
func build(ctx context.Context, deps, program string) (err error) {
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return err
	}
	if err := sweep(filepath.Dir(program)); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(program), building)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	from, err := moduleDir(ctx, deps)
	if err != nil {
		return err
	}
	if err := copyTree(filepath.Join(tmp, "src"), from); err != nil {
		return err
	}
	if err := copyTree(tmp, deps); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "src", "cmd", "nerdctl", "zz_oracle.go"), source, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "edit", "-replace", module + "=./src"},
		{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(tmp, "oracle"), module + "/cmd/nerdctl"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = tmp
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", args[0], err, out)
		}
	}
	return os.Rename(filepath.Join(tmp, "oracle"), program)
}

// building begins the names of directories in which an oracle is being built.
const building = "oracle-build-"

// sweep removes what builds that were killed left behind; none takes an hour.
func sweep(cache string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), building) || time.Since(info.ModTime()) < time.Hour {
			continue
		}
		if err := os.RemoveAll(filepath.Join(cache, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// moduleDir has the go command fetch the pinned module, if need be, and say where it is.
func moduleDir(ctx context.Context, deps string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = deps
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	var m struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &m); jsonErr == nil && m.Error != "" {
		return "", fmt.Errorf("fetching %s: %s", module, m.Error)
	}
	if err != nil {
		return "", fmt.Errorf("fetching %s: %w", module, err)
	}
	return m.Dir, nil
}

func copyTree(dst, src string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if strings.HasSuffix(rel, "_test.go") || !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	})
}

// contentKey hashes all that decides what the oracle is.
func contentKey(deps string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	_, _ = h.Write(source)
	err := filepath.WalkDir(deps, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(h, "\n%s\n", strings.TrimPrefix(path, deps))
		_, err = io.Copy(h, bufio.NewReader(f))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the pins of nerdctl: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:24], nil
}

func cacheDir() (string, error) {
	if dir := os.Getenv("LINNET_DEPS_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "linnet", "deps"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the dependency cache: %w", err)
	}
	return filepath.Join(home, ".cache", "linnet", "deps"), nil
}

// repository walks up to the directory whose deps/nerdctl pins nerdctl.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "deps", "nerdctl", "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("finding deps/nerdctl/go.mod above %s: %w", dir, fs.ErrNotExist)
		}
	}
}
