package lens

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/moby/patternmatcher"
)

// ConfigName is where a project has its word on its checks.
const ConfigName = ".linnet/lens.yaml"

// Problem is one thing wrong with a configuration.
type Problem struct {
	File string
	Line int
	// Key is the path of the key, like "budgets.context"; Text says what is wrong, Fix what would be right.
	Key, Text, Fix string
}

func (p Problem) Error() string {
	if p.Key == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Key, p.Text)
}

// Problems is all that is wrong, in the order of the file.
type Problems []Problem

func (ps Problems) Error() string {
	if len(ps) == 1 {
		return "reading " + ps[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "reading %s: %d problems", ps[0].File, len(ps))
	for _, p := range ps {
		b.WriteString("\n" + p.Error())
		if p.Fix != "" {
			b.WriteString("\nhint: " + p.Fix)
		}
	}
	return b.String()
}

// Hint is that of a single problem; more than one have theirs in the text.
func (ps Problems) Hint() string {
	if len(ps) == 1 {
		return ps[0].Fix
	}
	return ""
}

// ReadConfig reads a configuration's text over the defaults. It fails with Problems, which are all mistakes in it.
func ReadConfig(shown, text string, today time.Time) (*Config, error) {
	c := Defaults(today)
	c.File = shown
	r := &configReader{config: c, lines: strings.Count(text, "\n") + 1}
	if strings.TrimSpace(text) != "" {
		r.read(text)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return c, nil
}

// mostBrackets bounds what the parser is given: its memory grows with the square of how deep lists nest.
const mostBrackets = 500

type configReader struct {
	config   *Config
	lines    int
	problems Problems
}

func (r *configReader) add(at ast.Node, key, text, fix string) {
	r.problems = append(r.problems, Problem{File: r.config.File, Line: r.line(at.GetToken()), Key: key, Text: text, Fix: fix})
}

func (r *configReader) line(t *token.Token) int {
	if t == nil || t.Position == nil {
		return 1
	}
	return min(max(t.Position.Line, 1), r.lines)
}

func (r *configReader) read(text string) {
	if strings.Count(text, "[")+strings.Count(text, "{") > mostBrackets {
		r.problems = append(r.problems, Problem{File: r.config.File, Line: 1, Text: fmt.Sprintf("more than %d opening brackets are no configuration", mostBrackets)})
		return
	}
	file, err := parseYAML(text)
	if err != nil {
		p := Problem{File: r.config.File, Line: r.lines, Text: "it is not YAML"}
		var located interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &located) {
			p.Text, p.Line = "it is not YAML: "+located.GetMessage(), r.line(located.GetToken())
		}
		r.problems = append(r.problems, p)
		return
	}
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode:
		case *ast.MappingNode:
			r.section("", body, map[string]func(string, ast.Node){
				"levels": r.levels, "budgets": r.budgets, "allow": r.allow, "exclude": r.exclude, "ignore": r.ignore,
			}, "levels", "budgets", "allow", "exclude", "ignore")
		default:
			r.add(body, "", "it is no section", `write it like "levels: {base-digest: off}"`)
		}
	}
}

// parseYAML is the YAML parser, which must not take linnet down whatever a file holds.
func parseYAML(text string) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errors.New("it is not YAML")
		}
	}()
	return parser.ParseBytes([]byte(text), 0)
}

// section reads keys, each with its function; order is their order in a hint.
func (r *configReader) section(path string, node ast.Node, keys map[string]func(string, ast.Node), order ...string) {
	section, ok := node.(*ast.MappingNode)
	if !ok {
		r.add(node, path, "it is no section", "its keys: "+strings.Join(order, ", "))
		return
	}
	for _, entry := range section.Values {
		name := entry.Key.GetToken().Value
		key := strings.TrimPrefix(path+"."+name, ".")
		read, known := keys[name]
		switch {
		case !known && path == "":
			r.add(entry.Key, key, "unknown key", "the keys: "+strings.Join(order, ", "))
		case !known:
			r.add(entry.Key, key, "unknown key", "the keys in "+path+": "+strings.Join(order, ", "))
		default:
			if _, empty := entry.Value.(*ast.NullNode); empty {
				r.add(entry.Key, key, "it has no value", "remove the line to have the default")
				continue
			}
			read(key, entry.Value)
		}
	}
}

func (r *configReader) levels(path string, node ast.Node) {
	section, ok := node.(*ast.MappingNode)
	if !ok {
		r.add(node, path, "it is no section", "write CHECK: LEVEL, one a line")
		return
	}
	for _, entry := range section.Values {
		id := entry.Key.GetToken().Value
		level, ok := ParseLevel(r.text(path+"."+id, entry.Value))
		switch {
		case id == unreadable || !knownID(id):
			r.add(entry.Key, path+"."+id, "there is no such check to give a level", listFix)
		case !ok:
			r.add(entry.Value, path+"."+id, fmt.Sprintf("%q is no level", entry.Value.GetToken().Value), "one of "+strings.Join(levels, ", "))
		default:
			r.config.Levels[id] = &level
		}
	}
}

func (r *configReader) budgets(path string, node ast.Node) {
	size := func(to *int64) func(string, ast.Node) {
		return func(key string, value ast.Node) {
			n, err := units.RAMInBytes(strings.Replace(r.text(key, value), "iB", "", 1))
			if err != nil || n <= 0 {
				r.add(value, key, fmt.Sprintf("%q is no size", value.GetToken().Value), "write it like 100MiB")
				return
			}
			*to = n
		}
	}
	b := &r.config.Budgets
	r.section(path, node, map[string]func(string, ast.Node){
		"context": size(&b.Context), "file": size(&b.File), "image": size(&b.Image),
		"layers": func(key string, value ast.Node) {
			if n, err := parsePositive(r.text(key, value)); err == nil {
				b.Layers = n
			} else {
				r.add(value, key, fmt.Sprintf("%q is no number above 0", value.GetToken().Value), "write it like 40")
			}
		},
	}, "context", "file", "image", "layers")
}

func (r *configReader) allow(path string, node ast.Node) {
	r.section(path, node, map[string]func(string, ast.Node){
		"registries": func(key string, value ast.Node) { r.config.Registries = r.list(key, value) },
		"setuid": func(key string, value ast.Node) {
			r.config.Setuid = r.list(key, value)
			if _, err := patternmatcher.New(r.config.Setuid); err != nil {
				r.add(value, key, "a pattern is wrong: "+err.Error(), "patterns are those of a .dockerignore")
			}
		},
	}, "registries", "setuid")
}

func (r *configReader) exclude(path string, node ast.Node) {
	r.config.Exclude = r.list(path, node)
	if _, err := patternmatcher.New(r.config.Exclude); err != nil {
		r.add(node, path, "a pattern is wrong: "+err.Error(), "patterns are those of a .dockerignore")
	}
}

func (r *configReader) ignore(path string, node ast.Node) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		r.add(node, path, "it is no list", `write entries like "- {check: ID, reason: WHY}"`)
		return
	}
	for i, item := range list.Values {
		key, ig := fmt.Sprintf("%s[%d]", path, i), Ignore{Line: r.line(item.GetToken())}
		if m, ok := item.(*ast.MappingNode); ok && len(m.Values) > 0 {
			ig.Line = r.line(m.Values[0].Key.GetToken())
		}
		before := len(r.problems)
		r.section(key, item, map[string]func(string, ast.Node){
			"check":  func(key string, value ast.Node) { ig.ID = r.text(key, value) },
			"path":   func(key string, value ast.Node) { ig.Path = r.text(key, value) },
			"reason": func(key string, value ast.Node) { ig.Reason = strings.TrimSpace(r.text(key, value)) },
			"until": func(key string, value ast.Node) {
				day, err := time.Parse(time.DateOnly, r.text(key, value))
				if err != nil {
					r.add(value, key, fmt.Sprintf("%q is no day", value.GetToken().Value), "write it like 2027-01-31")
				}
				ig.Until = day
			},
		}, "check", "path", "reason", "until")
		if len(r.problems) == before {
			r.keep(key, item, ig)
		}
	}
}

// keep adds an ignore that says what, and why.
func (r *configReader) keep(key string, at ast.Node, ig Ignore) {
	_, bad := patternmatcher.New([]string{ig.Path})
	switch {
	case ig.ID == "":
		r.add(at, key, "it has no check", "check: ID; "+listFix)
	case !knownID(ig.ID):
		r.add(at, key+".check", fmt.Sprintf("there is no check %q", ig.ID), listFix)
	case ig.Reason == "":
		r.add(at, key, "it has no reason", "reason: WHY")
	case ig.Path != "" && bad != nil:
		r.add(at, key+".path", "the pattern is wrong: "+bad.Error(), "patterns are those of a .dockerignore")
	default:
		r.config.Ignores = append(r.config.Ignores, ig)
	}
}

func (r *configReader) list(path string, node ast.Node) (all []string) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		r.add(node, path, "it is no list", fmt.Sprintf("try [%q]", node.GetToken().Value))
		return nil
	}
	for i, item := range list.Values {
		all = append(all, r.text(fmt.Sprintf("%s[%d]", path, i), item))
	}
	return all
}

// text is a scalar as it stands in the file.
func (r *configReader) text(key string, node ast.Node) string {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return node.GetToken().Value
	}
	r.add(node, key, "it is no text", "")
	return ""
}
