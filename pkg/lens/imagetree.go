package lens

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// tree is an image's file system as a container sees it, and what its layers hide of each other.
type tree struct {
	root   *node
	files  []ref // what is seen, in the order of paths
	hidden []hiding
}

// node is a path of the tree; entry is nil for a directory that no layer has as such.
type node struct {
	entry    *Entry
	layer    int
	children map[string]*node
}

// ref is an entry with the layer that has it, from 0.
type ref struct {
	*Entry
	layer int
}

// hiding is a file that a later layer removes or replaces.
type hiding struct {
	ref
	by      int
	removed bool
	// same says that it is replaced with the same bytes: its mode or owner was changed.
	same bool
}

// whiteout begins the name of what a layer removes; opaque is that of a directory of which nothing of lower layers is seen.
// Source: the OCI image specification, "Image Layer Filesystem Changeset".
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// tree merges the layers, once.
func (i *Image) tree() *tree {
	if i.merged != nil {
		return i.merged
	}
	t := &tree{root: &node{}}
	for n, layer := range i.Layers {
		for at := range layer.Entries {
			t.remove(&layer.Entries[at], n)
		}
		for at := range layer.Entries {
			t.add(&layer.Entries[at], n)
		}
	}
	t.list(t.root)
	i.merged = t
	return t
}

// remove carries a whiteout out.
func (t *tree) remove(e *Entry, by int) {
	dir, name := path.Split(e.Path)
	if !strings.HasPrefix(name, whiteout) {
		return
	}
	parent := t.find(path.Clean("/" + dir)[1:], true)
	switch gone := name[len(whiteout):]; {
	case parent == nil:
	case name == opaque:
		for _, child := range parent.children {
			t.hide(child, by, true)
		}
		clear(parent.children)
	case parent.children[gone] != nil:
		t.hide(parent.children[gone], by, true)
		delete(parent.children, gone)
	}
}

// hide notes that nothing of a node is seen any more.
func (t *tree) hide(n *node, by int, removed bool) {
	if n.entry != nil && n.entry.Kind == kindFile && n.layer != by {
		t.hidden = append(t.hidden, hiding{ref: ref{n.entry, n.layer}, by: by, removed: removed})
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		t.hide(n.children[name], by, removed)
	}
}

func (t *tree) add(e *Entry, layer int) {
	dir, name := path.Split(e.Path)
	if strings.HasPrefix(name, whiteout) {
		return
	}
	if name == "" {
		t.root.entry, t.root.layer = e, layer
		return
	}
	parent := t.ensure(path.Clean("/" + dir)[1:])
	old := parent.children[name]
	switch {
	case old == nil:
		old = &node{}
		parent.children[name] = old
	case e.Kind != kindDir || old.entry != nil && old.entry.Kind != kindDir:
		before := len(t.hidden)
		t.hide(old, layer, false)
		if len(t.hidden) == before+1 && old.entry != nil && e.Kind == kindFile {
			t.hidden[before].same = e.Sum != 0 && e.Sum == old.entry.Sum && e.Size == old.entry.Size
		}
		old.children = nil
	}
	old.entry, old.layer = e, layer
}

// ensure is the directory of a path, which is made where there is none.
func (t *tree) ensure(dir string) *node {
	at := t.root
	walked := ""
	for _, name := range split(dir) {
		walked = path.Join(walked, name)
		next := at.children[name]
		if next != nil && next.entry != nil && next.entry.Kind == kindSymlink {
			if to := t.find(walked, true); to != nil {
				next = to
			}
		}
		if next == nil {
			next = &node{}
			if at.children == nil {
				at.children = map[string]*node{}
			}
			at.children[name] = next
		}
		at = next
	}
	if at.children == nil {
		at.children = map[string]*node{}
	}
	return at
}

// mostLinks is how many symbolic links are followed, as by Linux.
const mostLinks = 40

// find is the node of a path; nil says that there is none. follow resolves a link at its end, too; those before are always followed.
func (t *tree) find(name string, follow bool) *node {
	todo, done, links := split(name), []string{}, 0
	at := t.root
	for len(todo) > 0 {
		word := todo[0]
		todo = todo[1:]
		if word == ".." {
			done = done[:max(0, len(done)-1)]
			at = t.walk(done)
			continue
		}
		next := at.children[word]
		if next == nil {
			return nil
		}
		if next.entry != nil && next.entry.Kind == kindSymlink && (len(todo) > 0 || follow) {
			if links++; links > mostLinks {
				return nil
			}
			if strings.HasPrefix(next.entry.Link, "/") {
				done, at = done[:0], t.root
			}
			todo = append(split(next.entry.Link), todo...)
			continue
		}
		done = append(done, word)
		at = next
	}
	return at
}

// walk goes down names that are no links.
func (t *tree) walk(names []string) *node {
	at := t.root
	for _, name := range names {
		if at = at.children[name]; at == nil {
			return &node{}
		}
	}
	return at
}

// split is a path's names, without "." and empty ones.
func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" || s == "." })
}

func (t *tree) list(n *node) {
	if n.entry != nil {
		t.files = append(t.files, ref{n.entry, n.layer})
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		t.list(n.children[name])
	}
}

// file is the file that a path comes to, hard links followed; nil says that there is none.
func (t *tree) file(name string) *Entry {
	for range mostLinks {
		n := t.find(name, true)
		if n == nil || n.entry == nil {
			return nil
		}
		if n.entry.Kind != kindLink {
			return n.entry
		}
		name = n.entry.Link
	}
	return nil
}
