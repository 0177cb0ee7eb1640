package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/deps"
)

// components are the named ones, or those that a host of this operating system needs.
func components(names []string, goos string) ([]deps.Component, error) {
	all, err := deps.Load()
	if err != nil {
		return nil, err
	}
	host := deps.VM
	if goos == "linux" {
		host = deps.Linux
	}
	return choose(all, names, func(c deps.Component) bool { return c.For(host) })
}

// peers are the named programs of e2e/peers, or all of them: tests drive them, and no host needs one.
func (b *builder) peers(names []string) ([]deps.Component, error) {
	list := filepath.Join(b.modules, "peers.yaml")
	text, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	all, err := deps.ParsePeers(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", list, err)
	}
	return choose(all, names, func(deps.Component) bool { return true })
}

// choose takes the named ones of all; with no name, the needed ones.
func choose(all []deps.Component, names []string, needed func(deps.Component) bool) ([]deps.Component, error) {
	var chosen []deps.Component
	var known []string
	for _, c := range all {
		known = append(known, c.Name)
		if slices.Contains(names, c.Name) || len(names) == 0 && needed(c) {
			chosen = append(chosen, c)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, &hintError{fmt.Errorf("no component is called %q", name), "there are " + strings.Join(known, ", ")}
		}
	}
	return chosen, nil
}

// toolsModule is the directory of the developers' tools, next to the components' directories.
const toolsModule = "tools"

// tools are the named tools of deps/tools/go.mod, or all of them, in the shape of components.
// Their versions stand in that file alone.
func (b *builder) tools(ctx context.Context, names []string) ([]deps.Component, error) {
	dir := filepath.Join(b.modules, toolsModule)
	out, err := b.output(ctx, dir, "mod", "edit", "-json")
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, "go.mod"), err)
	}
	var mod goMod
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, "go.mod"), err)
	}
	return mod.tools(names)
}

// goMod is the part of `go mod edit -json` that says which tools there are.
type goMod struct {
	Tool    []struct{ Path string }
	Require []struct{ Path, Version string }
}

func (m goMod) tools(names []string) ([]deps.Component, error) {
	var chosen []deps.Component
	var known []string
	for _, t := range m.Tool {
		name := path.Base(t.Path)
		known = append(known, name)
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		c := deps.Component{Name: name}
		for _, r := range m.Require { // modules nest: the longest path that holds the tool has it
			if (t.Path == r.Path || strings.HasPrefix(t.Path, r.Path+"/")) && len(r.Path) > len(c.Module) {
				c.Module, c.Version = r.Path, r.Version
			}
		}
		below := strings.TrimPrefix(strings.TrimPrefix(t.Path, c.Module), "/")
		c.Programs = []deps.Program{{Package: below, To: "bin/" + name}}
		chosen = append(chosen, c)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, &hintError{fmt.Errorf("no tool is called %q", name), "there are " + strings.Join(known, ", ")}
		}
	}
	return chosen, nil
}

// lack is something that the build machine does not have, and the component that needs it.
type lack struct {
	component string
	need      deps.Need
}

// missing looks for everything the components need.
func (b *builder) missing(ctx context.Context, components []deps.Component) []lack {
	var lacks []lack
	for _, c := range components {
		needs := c.Needs
		if b.crosses(c) {
			needs = c.Cross[b.goarch].Needs
		}
		for _, n := range needs {
			var err error
			switch {
			case n.Command != "":
				_, err = exec.LookPath(n.Command)
			case n.File != "":
				_, err = os.Stat(n.File)
			default:
				_, err = libraryVersion(ctx, n.Library)
			}
			if err != nil {
				lacks = append(lacks, lack{c.Name, n})
			}
		}
	}
	return lacks
}

// lacksError names everything that is missing, and what to install.
func lacksError(lacks []lack) error {
	if len(lacks) == 0 {
		return nil
	}
	var errs []string
	for _, l := range lacks {
		errs = append(errs, fmt.Sprintf("%s needs %s%s, which is not installed", l.component, l.need.Command, l.need.Library+l.need.File))
	}
	return &hintError{errors.New(strings.Join(errs, "; ")), "apt-get install " + strings.Join(debianPackages(lacks), " ")}
}

func debianPackages(lacks []lack) []string {
	var names []string
	for _, l := range lacks {
		if !slices.Contains(names, l.need.Debian) {
			names = append(names, l.need.Debian)
		}
	}
	return names
}

// libraryVersion asks pkg-config, which knows a library only if its headers are installed.
func libraryVersion(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "pkg-config", "--modversion", name).Output()
	if err != nil {
		return "", fmt.Errorf("looking for the library %s: %w", name, err)
	}
	return string(bytes.TrimSpace(out)), nil
}
