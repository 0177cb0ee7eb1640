package route

import (
	"slices"
	"strings"
	"sync"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// ownFlags are linnet's own global flags. A flag of nerdctl's of the same name is linnet's, unless a command has it itself; the
// shorthand stands before the command alone, where no other can have its letter.
var ownFlags = []nerdctl.Flag{
	{Name: "debug", Type: "bool", NoOpt: "true", Persistent: true},
	{Name: "quiet", Type: "bool", NoOpt: "true", Persistent: true},
	{Name: "progress", Type: "string", Persistent: true},
	{Name: "backend", Type: "string", Persistent: true},
	{Name: "q", Shorthand: "q", Type: "bool", NoOpt: "true", AliasOf: "quiet"},
}

// isOwn reports whether a flag of a line is one of those.
func isOwn(v nerdctl.FlagValue) bool {
	for i := range ownFlags {
		if v.Flag == &tree().Flags[i] {
			return true
		}
	}
	return false
}

// tree is nerdctl's, with linnet's own flags, and with linnet's own commands as single words where they have nerdctl's names or
// are another's.
var tree = sync.OnceValue(func() *nerdctl.Command {
	root := *nerdctl.Root()
	root.Flags = slices.Concat(ownFlags, slices.DeleteFunc(slices.Clone(root.Flags), func(f nerdctl.Flag) bool {
		return slices.ContainsFunc(ownFlags, func(own nerdctl.Flag) bool { return own.Name == f.Name })
	}))
	root.Commands = slices.Clone(root.Commands)
	for i, c := range root.Commands {
		if table[c.Name].Command == c.Name && c.Name != "compose" {
			root.Commands[i] = word(c.Name)
		}
		if added, some := within[c.Name]; some {
			more := *c
			more.Commands = append(slices.Clone(c.Commands), word(added))
			root.Commands[i] = &more
		}
	}
	buildx := word("buildx")
	buildx.Group, buildx.Commands = true, []*nerdctl.Command{word("build"), word("du"), word("prune")}
	root.Commands = append(root.Commands, word("cache"), word("lint"), buildx)
	return &root
})

// within are linnet's own commands within those of nerdctl's.
var within = map[string]string{"image": "check", "system": "df"}

func word(name string) *nerdctl.Command {
	return &nerdctl.Command{Name: name, Interspersed: true, MaxArgs: -1}
}

// Line is a command line that has been read up to the last word of its command's path.
type Line struct {
	Route
	found *nerdctl.Invocation
	rest  []string
}

// Read reads a command line without the program's name. Where it names no command that is known here, the Route is empty, and
// the line is one for linnet's own tree of commands. An error is *nerdctl.FlagError.
func Read(args []string) (*Line, error) {
	found, rest, err := tree().Traverse(args)
	if err != nil {
		return nil, err
	}
	return &Line{Route: Of(found.Path), found: found, rest: rest}, nil
}

// Path is the command's canonical path.
func (l *Line) Path() []string { return l.found.Path }

// Forwarded reports whether the line is a command of nerdctl's.
func (l *Line) Forwarded() bool { return len(l.found.Path) > 0 && l.Command == "" }

// Parse reads the whole of a line that is forwarded. own are its uses of linnet's own flags, which inv no longer has.
// Errors are those of nerdctl.Parse.
func (l *Line) Parse() (inv *nerdctl.Invocation, own []nerdctl.FlagValue, err error) {
	if err := l.found.Finish(l.rest); err != nil {
		return nil, nil, err
	}
	l.found.Flags = slices.DeleteFunc(l.found.Flags, func(v nerdctl.FlagValue) bool {
		if !isOwn(v) {
			return false
		}
		own = append(own, v)
		return true
	})
	return l.found, own, nil
}

// Words is the line for linnet's own tree: global flags first, wherever they stood before the last word of the path, then the
// command by linnet's own name for it, then the rest as it was typed.
func (l *Line) Words() []string {
	var words, within []string
	globals := l.found.Globals()
	for _, v := range l.found.Flags {
		if slices.Contains(globals, v) {
			words = append(words, use(v))
		} else {
			within = append(within, use(v)) // of compose, before the command; nothing else has such
		}
	}
	switch {
	case len(l.found.Path) > 1 && l.found.Path[0] == "compose":
		words = slices.Concat(words, l.found.Path[:1], within, l.found.Path[1:])
	case l.Command == "":
		words = append(words, l.found.Path...)
	default:
		words = append(words, strings.Fields(l.Command)...)
	}
	return append(words, l.rest...)
}

// use is the use of a flag as one word, by the name that the flag is an alias of.
func use(v nerdctl.FlagValue) string {
	return "--" + v.Name() + strings.TrimPrefix(v.Word(), "--"+v.Flag.Name)
}
