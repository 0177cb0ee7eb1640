package settings

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decode reads the text of a file. It walks the syntax tree itself: a decoder stops at the
// first mistake and knows nothing of lines, and this one has to tell all of them.
func (r *reader) decode(shown, text string) {
	d := &decoder{reader: r, shown: shown, lines: strings.Count(text, "\n") + 1}
	if line, bad := bearable(text); bad != nil {
		d.reader.add(Source{From: FromFile, Name: shown, Line: line}, "", bad)
		return
	}
	file, err := parse(text)
	if err != nil {
		d.syntax(err)
		return
	}
	seen := false
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.DirectiveNode, *ast.NullNode:
		case *ast.MappingNode:
			if seen {
				d.add(body, "", &fault{"a second document begins here", `remove the "---" line`})
				return
			}
			seen = true
			d.section("", body)
		default:
			d.add(body, "", unlike(body, "settings", `write them like "backend: auto"`))
			return
		}
	}
}

// Bounds on what the parser is given. Its memory grows with the square of how deep lists and
// sections nest: 64 KiB of "[" would take gigabytes. No real file comes near them.
const (
	longestLine  = 4096 // bytes
	mostBrackets = 500  // opening ones, in the whole file
)

// bearable returns the line that goes beyond the bounds, and in what.
func bearable(text string) (line int, bad *fault) {
	brackets := 0
	for l := range strings.Lines(text) {
		line++
		if len(l) > longestLine {
			return line, &fault{text: fmt.Sprintf("the line has %d bytes, and %d is the most that is read", len(l), longestLine)}
		}
		if strings.HasPrefix(strings.TrimSpace(l), "#") {
			continue
		}
		if brackets += strings.Count(l, "[") + strings.Count(l, "{"); brackets > mostBrackets {
			return line, &fault{text: fmt.Sprintf("more than %d opening brackets are not settings", mostBrackets)}
		}
	}
	return 0, nil
}

// parse is the YAML parser, which must not take linnet down whatever a file holds.
func parse(text string) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errors.New("it is not YAML")
		}
	}()
	return parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey())
}

// decoder walks the syntax tree of one file.
type decoder struct {
	*reader
	shown string
	lines int
}

func (d *decoder) syntax(err error) {
	source := Source{From: FromFile, Name: d.shown, Line: d.lines}
	text, _, _ := strings.Cut(err.Error(), "\n")
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &located) {
		text, source.Line = located.GetMessage(), d.line(located.GetToken())
	}
	bad := &fault{text: "it is not YAML: " + text}
	if strings.HasPrefix(text, "tab character") || strings.ContainsRune(text, '\t') {
		bad = &fault{"it is not YAML: a tab stands where only spaces may", "indent with spaces"}
	}
	d.reader.add(source, "", bad)
}

// section reads the keys below a path, which is empty for the whole file.
func (d *decoder) section(path string, section *ast.MappingNode) {
	first := map[string]int{}
	for _, entry := range section.Values {
		name := entry.Key.GetToken().Value
		key := name
		if path != "" {
			key = path + "." + name
		}
		if at, twice := first[name]; twice {
			d.add(entry.Key, key, &fault{"it is set twice", fmt.Sprintf("it is first set on line %d", at)})
		} else {
			first[name] = d.line(entry.Key.GetToken())
		}
		d.entry(path, name, key, entry)
	}
}

func (d *decoder) entry(path, name, key string, entry *ast.MappingValueNode) {
	if _, ok := entry.Key.(*ast.StringNode); ok && !strings.Contains(name, ".") {
		if d.isSection(key) {
			d.subsection(key, entry)
			return
		}
		for _, f := range d.fields {
			if f.key == key {
				d.field(f, entry)
				return
			}
		}
	}
	d.add(entry.Key, key, &fault{"unknown key", d.suggest(path, name)})
}

func (d *decoder) subsection(key string, entry *ast.MappingValueNode) {
	switch value := entry.Value.(type) {
	case *ast.MappingNode:
		d.section(key, value)
	case *ast.NullNode: // all its keys are commented out
	default:
		d.add(value, key, unlike(value, "a section", "its keys: "+strings.Join(d.keysIn(key), ", ")))
	}
}

func (d *decoder) field(f field, entry *ast.MappingValueNode) {
	source := d.source(entry.Key)
	node := entry.Value
	if _, empty := node.(*ast.NullNode); empty {
		d.add(entry.Key, f.key, &fault{"it has no value", "remove the line to have the default"})
		return
	}
	if l, ok := f.value.(list); ok {
		d.list(source, f, l, node)
		return
	}
	text, quoted, ok := scalarText(node)
	switch {
	case !ok:
		d.add(node, f.key, unlike(node, f.value.kind(), ""))
	case quoted && f.value.kind() == "a number":
		d.add(node, f.key, &fault{fmt.Sprintf("%q is text, not a number", text), "remove the quotes"})
	default:
		source.Line = d.line(node.GetToken())
		d.reader.scalar(source, f, text)
	}
}

func (d *decoder) list(source Source, f field, l list, node ast.Node) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		hint := ""
		if text, _, ok := scalarText(node); ok {
			hint = fmt.Sprintf("try [%q]", text)
		}
		d.add(node, f.key, unlike(node, "a list", hint))
		return
	}
	items, good := make([]string, len(sequence.Values)), true
	for i, item := range sequence.Values {
		text, _, ok := scalarText(item)
		var bad *fault
		if !ok {
			// Inside braces this parser takes registry:5000 for a section.
			bad = unlike(item, "text", "put quotes around each item")
		} else {
			bad = l.item(text)
		}
		if bad != nil {
			d.add(item, fmt.Sprintf("%s[%d]", f.key, i), bad)
			good = false
		}
		items[i] = text
	}
	if good {
		l.put(items)
		d.settings.set(f.key, source)
	}
}

// suggest says what an unknown key below a path may have been meant to be.
func (d *decoder) suggest(path, name string) string {
	for _, f := range d.fields {
		if f.key == name {
			section, last, _ := cutLast(f.key)
			return fmt.Sprintf("write it as %q in the section %q", last, section)
		}
	}
	if near, ok := nearest(name, d.keysIn(path)); ok {
		if path != "" {
			near = path + "." + near
		}
		return fmt.Sprintf("did you mean %s?", near)
	}
	for _, f := range d.fields {
		if section, last, _ := cutLast(f.key); strings.EqualFold(last, name) {
			return fmt.Sprintf("did you mean %q in the section %q?", last, section)
		}
	}
	if path == "" {
		return "the keys: " + strings.Join(d.keysIn(""), ", ")
	}
	return "the keys in " + path + ": " + strings.Join(d.keysIn(path), ", ")
}

// keysIn returns the names right below a path, in the order of the reference.
func (d *decoder) keysIn(path string) []string {
	var names []string
	for _, f := range d.fields {
		rest := f.key
		if path != "" {
			var below bool
			if rest, below = strings.CutPrefix(f.key, path+"."); !below {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return names
}

func (d *decoder) isSection(key string) bool { return len(d.keysIn(key)) > 0 }

func (d *decoder) add(at ast.Node, key string, f *fault) { d.reader.add(d.source(at), key, f) }

func (d *decoder) source(at ast.Node) Source {
	return Source{From: FromFile, Name: d.shown, Line: d.line(at.GetToken())}
}

// line is where a token stands, within the file whatever the parser says.
func (d *decoder) line(t *token.Token) int {
	if t == nil || t.Position == nil {
		return 1
	}
	return min(max(t.Position.Line, 1), d.lines)
}

// scalarText returns the text of a scalar as it stands in the file, and whether it is quoted.
func scalarText(node ast.Node) (text string, quoted, ok bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		kind := n.GetToken().Type
		return n.Value, kind == token.SingleQuoteType || kind == token.DoubleQuoteType, true
	case *ast.LiteralNode:
		return n.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, false, true
	}
	return "", false, false
}

// unlike says that a node is not what is wanted.
func unlike(node ast.Node, wanted, hint string) *fault {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		hint = "write the value out, plainly"
	}
	return &fault{fmt.Sprintf("it is %s, not %s", nature(node), wanted), hint}
}

// nature says what a node is, for people.
func nature(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "empty"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "a YAML anchor or alias"
	case *ast.TagNode:
		return "a YAML tag"
	}
	return "something else"
}

// cutLast cuts a key before its last part.
func cutLast(key string) (section, last string, found bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key, false
	}
	return key[:i], key[i+1:], true
}
