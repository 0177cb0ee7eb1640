package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Docker's configuration is edited as text, not written anew from what was understood of it:
// what others and people have put there stays as it is, to the last blank.

// object is a JSON object's place in a text, and its members'.
type object struct {
	start, end int // of the braces: text[start:end]
	members    []member
}

type member struct {
	name       string
	start, end int // from the name's quote to the end of the value
	value      int // where the value begins
}

// scan finds the members of the object that is the first value at or after from.
func scan(text []byte, from int) (object, error) {
	d := json.NewDecoder(bytes.NewReader(text[from:]))
	at := func() int { return from + int(d.InputOffset()) }
	open, err := d.Token()
	if err != nil {
		return object{}, err
	}
	if open != json.Delim('{') {
		return object{}, fmt.Errorf("there is no object at byte %d", from)
	}
	o := object{start: at() - 1}
	for d.More() {
		before := at()
		name, err := d.Token()
		if err != nil {
			return o, err
		}
		m := member{start: before + bytes.IndexByte(text[before:], '"')}
		m.name, _ = name.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return o, err
		}
		m.end = at()
		m.value = m.end - len(value)
		o.members = append(o.members, m)
	}
	if _, err := d.Token(); err != nil {
		return o, err
	}
	o.end = at()
	return o, nil
}

// find is the last member of a name, which is the one that counts. fold is how docker reads
// the names of its own settings: in any case.
func (o object) find(name string, fold bool) (int, bool) {
	for i := len(o.members) - 1; i >= 0; i-- {
		if o.members[i].name == name || fold && strings.EqualFold(o.members[i].name, name) {
			return i, true
		}
	}
	return 0, false
}

// setAuth makes value the entry of key in the text's auths.
func setAuth(text []byte, key string, value auth) ([]byte, error) {
	text, err := somewhere(text)
	if err != nil {
		return nil, err
	}
	top, err := scan(text, 0)
	if err != nil {
		return nil, err
	}
	unit := "\t" // as docker writes it
	if len(top.members) > 0 {
		unit = lineIndent(text, top.members[0].start)
	}
	i, found := top.find("auths", true)
	if !found || blank(text[top.members[i].value:top.members[i].end]) {
		if found {
			text = splice(text, top.members[i].value, top.members[i].end, "{}")
		} else {
			text = insert(text, top, unit, `"auths": {}`)
		}
		if top, err = scan(text, 0); err != nil {
			return nil, err
		}
		i, _ = top.find("auths", true)
	}
	auths, err := scan(text, top.members[i].value)
	if err != nil {
		return nil, err
	}
	lines, indent := multiline(text, top), lineIndent(text, top.members[i].start)+unit
	if len(auths.members) > 0 {
		lines, indent = multiline(text, auths), lineIndent(text, auths.members[0].start)
	}
	rendered, err := render(value, lines, indent, unit)
	if err != nil {
		return nil, err
	}
	if i, found := auths.find(key, false); found {
		return splice(text, auths.members[i].value, auths.members[i].end, rendered), nil
	}
	name, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	return insert(text, auths, unit, string(name)+": "+rendered), nil
}

// dropAuth removes the entries that gone says from the text's auths.
func dropAuth(text []byte, gone func(name string) bool) ([]byte, error) {
	text, err := somewhere(text)
	if err != nil {
		return nil, err
	}
	top, err := scan(text, 0)
	if err != nil {
		return nil, err
	}
	at, found := top.find("auths", true)
	if !found || blank(text[top.members[at].value:top.members[at].end]) {
		return text, nil
	}
	auths, err := scan(text, top.members[at].value)
	if err != nil {
		return nil, err
	}
	for i := len(auths.members) - 1; i >= 0; i-- {
		if !gone(auths.members[i].name) {
			continue
		}
		switch last := len(auths.members) - 1; {
		case last == 0:
			text = splice(text, auths.start, auths.end, "{}")
		case i == last:
			text = splice(text, auths.members[i-1].end, auths.members[i].end, "")
		default:
			text = splice(text, auths.members[i].start, auths.members[i+1].start, "")
		}
		if auths, err = scan(text, top.members[at].value); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// somewhere makes an object of a text that has none yet.
func somewhere(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	var first json.RawMessage
	if err := d.Decode(&first); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !blank(first) {
		return text, nil
	}
	return splice(text, 0, int(d.InputOffset()), "{}"), nil
}

// insert adds a member at the end of an object, set as its neighbours are.
func insert(text []byte, o object, unit, added string) []byte {
	if n := len(o.members); n > 0 {
		return splice(text, o.members[n-1].end, o.members[n-1].end, ","+gap(text, o)+added)
	}
	top, err := scan(text, 0)
	if err == nil && len(top.members) > 0 && !multiline(text, top) {
		return splice(text, o.start+1, o.end-1, added)
	}
	indent := lineIndent(text, o.start)
	return splice(text, o.start+1, o.end-1, "\n"+indent+unit+added+"\n"+indent)
}

// gap is what stands before a member: between the brace and the first, or, where that is
// on the brace's line, a blank.
func gap(text []byte, o object) string {
	between := string(text[o.start+1 : o.members[0].start])
	if between == "" {
		return " "
	}
	return between
}

func multiline(text []byte, o object) bool {
	return len(o.members) == 0 || strings.Contains(gap(text, o), "\n")
}

// render writes an entry, on lines of its own where the file is written so.
func render(value auth, lines bool, indent, unit string) (string, error) {
	fields := map[string]string{}
	if value.Auth != "" {
		fields["auth"] = value.Auth
	}
	if value.IdentityToken != "" {
		fields["identitytoken"] = value.IdentityToken
	}
	text, err := json.Marshal(fields)
	if lines {
		text, err = json.MarshalIndent(fields, indent, unit)
	}
	return string(text), err
}

// lineIndent is the blank that the line of a place begins with.
func lineIndent(text []byte, at int) string {
	line := text[bytes.LastIndexByte(text[:at], '\n')+1 : at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

func splice(text []byte, from, to int, with string) []byte {
	return append(append(append([]byte{}, text[:from]...), with...), text[to:]...)
}

// blank reports whether a value says nothing.
func blank(value []byte) bool {
	v := string(bytes.TrimSpace(value))
	return v == "" || v == "null"
}
