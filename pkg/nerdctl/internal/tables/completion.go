package tables

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// engineKinds are the functions of nerdctl's completion package that ask the engine, or a
// list of the host's, and what they name.
var engineKinds = map[string]string{
	"ContainerNames":   "Containers",
	"ImageNames":       "Images",
	"NetworkNames":     "Networks",
	"VolumeNames":      "Volumes",
	"NamespaceNames":   "Namespaces",
	"SnapshotterNames": "Snapshotters",
	"Platforms":        "Platforms",
	"ApparmorProfiles": "AppArmorProfiles",
}

// sources reads what nerdctl's completion functions call, from nerdctl's own source.
type sources struct {
	dir   string
	files map[string]*ast.File
	fset  *token.FileSet
}

// completion says what a completion function names, and the values that it offered.
func (s *sources) completion(f *function) (kinds string, values []string, err error) {
	if f == nil || strings.HasPrefix(f.Name, "github.com/spf13/cobra.") {
		return "", nil, nil
	}
	calls, literals, err := s.calls(f)
	if err != nil {
		return "", nil, err
	}
	if len(calls) > 0 {
		return strings.Join(calls, " | "), nil, nil
	}
	if len(f.Values) > 0 {
		return "", f.Values, nil
	}
	return "", literals, nil
}

// quietFunctions lists the completion functions of flags that ask no engine.
func (s *sources) quietFunctions(c *command) ([]string, error) {
	var names []string
	for _, f := range c.Flags {
		// Which cgroup managers there are is for the far side to know.
		if f.Completion == nil || strings.HasSuffix(f.Completion.Name, "completion.CgroupManagerNames") {
			continue
		}
		calls, _, err := s.calls(f.Completion)
		if err != nil {
			return nil, err
		}
		if len(calls) == 0 {
			names = append(names, f.Completion.Name)
		}
	}
	for _, sub := range c.Commands {
		more, err := s.quietFunctions(sub)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// calls returns the kinds that a function asks for, and its string literals in order.
func (s *sources) calls(f *function) (kinds, literals []string, err error) {
	short := f.Name[strings.LastIndex(f.Name, "/")+1:]
	if name, ok := strings.CutPrefix(short, "completion."); ok {
		if kind, ok := engineKinds[name]; ok {
			return []string{kind}, nil, nil
		}
	}
	body, err := s.body(f)
	if err != nil {
		return nil, nil, err
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if !ok || pkg.Name != "completion" {
				return true
			}
			kind, ok := engineKinds[n.Sel.Name]
			if !ok {
				err = fmt.Errorf("%s completes with %s, which has no kind here", f.Name, n.Sel.Name)
			}
			kinds = append(kinds, kind)
		case *ast.BasicLit:
			if v, unquote := strconv.Unquote(n.Value); unquote == nil && n.Kind == token.STRING {
				literals = append(literals, v)
			}
		}
		return true
	})
	slices.Sort(kinds)
	return slices.Compact(kinds), literals, err
}

// body finds the function that begins at a line of nerdctl's source.
func (s *sources) body(f *function) (ast.Node, error) {
	_, rel, ok := strings.Cut(f.File, "/cmd/nerdctl/")
	if !ok {
		return nil, fmt.Errorf("%s is not in nerdctl's command tree: %s", f.Name, f.File)
	}
	if s.files == nil {
		s.files, s.fset = map[string]*ast.File{}, token.NewFileSet()
	}
	file := s.files[rel]
	if file == nil {
		var err error
		if file, err = parser.ParseFile(s.fset, filepath.Join(s.dir, "cmd", "nerdctl", rel), nil, parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		s.files[rel] = file
	}
	// The line is that of the function's first instruction, which in a closure that does
	// little may be its second line: take the innermost function that holds it.
	var found ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			from, to := s.fset.Position(n.Pos()).Line, s.fset.Position(n.End()).Line
			if from <= f.Line && f.Line <= to {
				found = n
			}
		}
		return n != nil
	})
	if found == nil {
		return nil, fmt.Errorf("%s is not at %s:%d", f.Name, f.File, f.Line)
	}
	return found, nil
}
