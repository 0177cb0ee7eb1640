//go:build e2e

// Package pinned reads the pinned sources of the engine's programs: which labels they go by, and which variables they look
// up. Suites take their lists from it, so that no author has to remember a name. It judges nothing.
package pinned

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// labelPackages declare the names of the labels of containers that nerdctl reads.
var labelPackages = []string{
	"github.com/containerd/nerdctl/v2/pkg/labels", "github.com/containerd/nerdctl/v2/pkg/labels/k8slabels",
	"github.com/containerd/containerd/v2/core/runtime/restart",
}

// Labels are the names of the labels that nerdctl reads of a container, from its source below root, this repository.
func Labels(ctx context.Context, root string) ([]string, error) {
	dirs, err := list(ctx, filepath.Join(root, "deps", "nerdctl"), labelPackages...)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, dir := range dirs {
		values, err := constants(dir)
		if err != nil {
			return nil, err
		}
		for _, value := range values {
			if format, ok := strings.CutSuffix(value, "%d"); ok {
				value = format + "0"
			}
			if strings.ContainsAny(value, "./") && !strings.HasSuffix(value, "/") && !strings.ContainsAny(value, " %") {
				names[value] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// constants are the values of a package's string constants, those that are made of others included.
func constants(dir string) (map[string]string, error) {
	files, err := sources(dir)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for range 2 { // a constant may stand before the one that it is made of
		for _, file := range files {
			for _, d := range file.Decls {
				group, ok := d.(*ast.GenDecl)
				if !ok || group.Tok != token.CONST {
					continue
				}
				for _, s := range group.Specs {
					spec, _ := s.(*ast.ValueSpec)
					for i, name := range spec.Names {
						if i < len(spec.Values) {
							if v, ok := text(spec.Values[i], values); ok {
								values[name.Name] = v
							}
						}
					}
				}
			}
		}
	}
	return values, nil
}

func sources(dir string) ([]*ast.File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// text is the value of a string expression.
func text(e ast.Expr, known map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		s, ok := known[e.Name]
		return s, ok
	case *ast.BinaryExpr:
		x, okX := text(e.X, known)
		y, okY := text(e.Y, known)
		return x + y, okX && okY && e.Op == token.ADD
	}
	return "", false
}

// components are those whose programs run on the way from a command line to a container.
var components = map[string][]string{
	"nerdctl":     {"."},
	"containerd":  {"github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
	"runc":        {"github.com/opencontainers/runc"},
	"cni-plugins": {"tool"},
}

// systemPrograms are what those start, in C: every word in them that could be a variable's name counts.
var systemPrograms = []string{"/usr/sbin/xtables-nft-multi", "/usr/sbin/xtables-legacy-multi"}

// others are what interpreters and the dynamic loader look up: a credential helper may be written in anything.
var others = []string{
	"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "MALLOC_CHECK_", "BASH_ENV", "ENV", "SHELLOPTS", "PS4", "IFS", "CDPATH",
	"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS",
	"GIT_SSH_COMMAND", "GIT_EXEC_PATH", "IPTABLES_LIB_DIR", "IP6TABLES_LIB_DIR", "XTABLES_LIBDIR", "AWS_PROFILE", "AWS_SECRET_ACCESS_KEY",
}

var (
	lookup   = regexp.MustCompile(`\b(?:Getenv|LookupEnv|Environ|UnsetEnv|Unsetenv)\b`)
	literal  = regexp.MustCompile("\"(_?[A-Za-z][A-Za-z0-9_]{2,60})\"")
	variable = regexp.MustCompile(`^(?:_?[A-Z][A-Z0-9_]*[A-Z0-9_]|(?:https?|ftp|all|no)_proxy)$`)
	word     = regexp.MustCompile(`[A-Z][A-Z0-9_]{4,40}`)
)

// Lookups are names of variables that a program on the way to a container may look up. The list is longer than
// that: in a file that looks up any variable, each string that could be a name counts.
func Lookups(ctx context.Context, root string) ([]string, error) {
	names := map[string]bool{}
	for component, packages := range components {
		dirs, err := list(ctx, filepath.Join(root, "deps", component), append([]string{"-deps"}, packages...)...)
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			if err := lookupsIn(dir, names); err != nil {
				return nil, err
			}
		}
	}
	for _, program := range systemPrograms {
		content, err := os.ReadFile(program)
		if err != nil {
			continue // this system has the other one
		}
		for _, w := range word.FindAll(content, -1) {
			names[string(w)] = true
		}
	}
	for _, name := range others {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func lookupsIn(dir string, names map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.HasSuffix(file, "_test.go") || !lookup.Match(content) {
			continue
		}
		for _, m := range literal.FindAllSubmatch(content, -1) {
			if variable.Match(m[1]) {
				names[string(m[1])] = true
			}
		}
	}
	return nil
}

// list asks Go for the directories of packages, from a component's own module.
func list(ctx context.Context, module string, args ...string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-f", "{{.Dir}}"}, args...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0", "GOOS=linux")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing %v: %w\n%s", args, err, &stderr)
	}
	return strings.Fields(string(out)), nil
}
