package lens

import (
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// ComposeLines finds in a compose file's text the line of each service, and the variables of each whose names are those of secrets and
// whose values are there. A file that is no YAML has none: who loads it says what is wrong.
func ComposeLines(text []byte) (lines map[string]int, literals map[string][]Literal) {
	lines, literals = map[string]int{}, map[string][]Literal{}
	file, err := parseYAML(string(text))
	if err != nil || len(file.Docs) == 0 {
		return lines, literals
	}
	for _, service := range entries(value(file.Docs[0].Body, "services")) {
		name := service.Key.GetToken().Value
		lines[name] = service.Key.GetToken().Position.Line
		literals[name] = literalsIn(value(service.Value, "environment"))
	}
	return lines, literals
}

// entries are those of a section; anything else has none.
func entries(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	case *ast.AnchorNode:
		return entries(n.Value)
	}
	return nil
}

func value(node ast.Node, key string) ast.Node {
	for _, e := range entries(node) {
		if e.Key.GetToken().Value == key {
			return e.Value
		}
	}
	return nil
}

// secretName is how variables with secrets are called. One with _FILE names a file.
var secretName = regexp.MustCompile(`(?i)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY)$`)

func literalsIn(environment ast.Node) (all []Literal) {
	add := func(name, value string, at ast.Node) {
		if secretName.MatchString(name) && value != "" && !strings.Contains(value, "$") && value != "null" {
			all = append(all, Literal{Name: name, Line: at.GetToken().Position.Line})
		}
	}
	for _, e := range entries(environment) {
		if s, ok := e.Value.(*ast.StringNode); ok {
			add(e.Key.GetToken().Value, s.Value, e.Key)
		}
	}
	if list, ok := environment.(*ast.SequenceNode); ok {
		for _, item := range list.Values {
			if s, ok := item.(*ast.StringNode); ok {
				name, value, _ := strings.Cut(s.Value, "=")
				add(name, value, item)
			}
		}
	}
	return all
}
