//go:build e2e

package nerdctl_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/nerdctl"
)

// generator makes command lines from the tables: what is there to be used comes from them,
// how it is used from chance.
type generator struct {
	*rand.Rand
	targets []target
	// made counts the lines for each command, and aimed is the target of each line.
	aimed []int
}

// target is a command, with all that applies to it.
type target struct {
	path  []*nerdctl.Command
	flags []*nerdctl.Flag
}

func (t target) name() string {
	var names []string
	for _, c := range t.path[1:] {
		names = append(names, c.Name)
	}
	return cmp.Or(strings.Join(names, " "), "(global)")
}

func (t target) command() *nerdctl.Command { return t.path[len(t.path)-1] }

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, seed))}
	var walk func(path []*nerdctl.Command)
	walk = func(path []*nerdctl.Command) {
		c := path[len(path)-1]
		t := target{path: slices.Clone(path)}
		for i := range c.Flags {
			t.flags = append(t.flags, &c.Flags[i])
		}
		g.targets = append(g.targets, t)
		for _, sub := range c.Commands {
			walk(append(path, sub))
		}
	}
	walk([]*nerdctl.Command{nerdctl.Root()})
	return g
}

// all makes n lines: first a plain one for each flag of each command, then anything.
func (g *generator) all(n int) [][]string {
	var argvs [][]string
	for i, t := range g.targets {
		if len(t.flags) == 0 {
			argvs, g.aimed = append(argvs, g.line(t, nil)), append(g.aimed, i)
		}
		for _, f := range t.flags {
			argvs, g.aimed = append(argvs, g.line(t, f)), append(g.aimed, i)
		}
	}
	for len(argvs) < n {
		i := g.IntN(len(g.targets))
		argv := g.line(g.targets[i], nil)
		for g.IntN(2) == 0 {
			argv = g.spoil(argv)
		}
		argvs, g.aimed = append(argvs, argv), append(g.aimed, i)
	}
	return argvs
}

// line makes one command line for t. With must it is a good one that uses this flag.
func (g *generator) line(t target, must *nerdctl.Flag) []string {
	var argv []string
	for level, c := range t.path {
		if level > 0 {
			argv = append(argv, g.oneOf(append([]string{c.Name}, c.Aliases...)))
		}
		if c == t.command() {
			return append(argv, g.tail(t, must)...)
		}
		for g.IntN(4) == 0 {
			argv = append(argv, g.use(g.anyFlag(c.Flags, must != nil), must != nil)...)
		}
	}
	return argv
}

// tail makes what follows the command's name: flags and positionals, mixed as the command allows.
func (g *generator) tail(t target, must *nerdctl.Flag) []string {
	c := t.command()
	var uses [][]string
	if must != nil {
		uses = append(uses, g.use(must, true))
	}
	for i := range c.Flags {
		if f := &c.Flags[i]; f.Required && f != must {
			uses = append(uses, g.use(f, true))
		}
	}
	for g.IntN(3) > 0 {
		switch good := must != nil; g.IntN(6) {
		case 0:
			if persistent := g.anyFlag(t.path[g.IntN(len(t.path))].Flags, good); persistent != nil && persistent.Persistent {
				uses = append(uses, g.use(persistent, good))
			}
		case 1:
			uses = append(uses, g.combined(c))
		default:
			uses = append(uses, g.use(g.anyFlag(c.Flags, good), good))
		}
	}
	g.Shuffle(len(uses), func(i, j int) { uses[i], uses[j] = uses[j], uses[i] })

	n := c.MinArgs + g.IntN(3)
	if c.MaxArgs >= 0 {
		n = min(n, c.MaxArgs)
	}
	if c.Group {
		n = 0
	}
	var argv []string
	for range n {
		at := len(uses)
		if c.Interspersed {
			at = g.IntN(len(uses) + 1)
		}
		uses = slices.Insert(uses, at, []string{g.oneOf(words)})
	}
	for _, use := range uses {
		argv = append(argv, use...)
	}
	if n > 0 && g.IntN(4) == 0 {
		argv = slices.Insert(argv, len(argv)-g.IntN(n+1), "--")
	}
	if must != nil {
		argv = g.settle(argv, n, c)
	}
	return argv
}

// settle takes back a "--" that separates a good line's flag from its value.
func (g *generator) settle(argv []string, n int, c *nerdctl.Command) []string {
	if i := slices.Index(argv, "--"); i >= 0 && (c.Interspersed || n == 0) {
		return slices.Delete(argv, i, i+1)
	}
	return argv
}

// combined makes a word of several shorthands, such as -it or -itp80.
func (g *generator) combined(c *nerdctl.Command) []string {
	var word string
	for g.IntN(4) > 0 {
		f := &c.Flags[g.IntN(len(c.Flags))]
		if f.Shorthand == "" || f.Builtin {
			continue
		}
		word += f.Shorthand
		if f.NoOpt == "" {
			return g.valued("-"+word, f, true)
		}
		if len(word) > 4 {
			break
		}
	}
	if word == "" {
		return nil
	}
	return []string{"-" + word}
}

// anyFlag picks one, or nil when a good line can use none of them.
func (g *generator) anyFlag(flags []nerdctl.Flag, good bool) *nerdctl.Flag {
	for range 50 {
		f := &flags[g.IntN(len(flags))]
		if !good || f.Name != "help" && f.Name != "version" {
			return f
		}
	}
	return nil
}

// use writes one use of a flag, in one of the forms that flags have.
func (g *generator) use(f *nerdctl.Flag, good bool) []string {
	if f == nil {
		return nil
	}
	word := "--" + f.Name
	if f.Shorthand != "" && g.IntN(2) == 0 {
		word = "-" + f.Shorthand
	}
	if f.NoOpt == "" {
		return g.valued(word, f, good)
	}
	if g.IntN(3) > 0 {
		return []string{word}
	}
	return []string{word + "=" + g.value(f, good)}
}

// valued writes a flag that takes a value: behind "=", in the next word, or glued to a shorthand.
func (g *generator) valued(word string, f *nerdctl.Flag, good bool) []string {
	value := g.value(f, good)
	switch n := g.IntN(3); {
	case n == 0:
		return []string{word + "=" + value}
	case n == 1 && !strings.HasPrefix(word, "--") && value != "" && value[0] != '=':
		return []string{word + value}
	default:
		return []string{word, value}
	}
}

var words = []string{
	"alpine", "a", "c1", "x=y", "", "ls", "run", "up", "-", "a b", "line\nbreak", "/abs/path", "./rel", "c:/p", "ü", "$HOME", "1",
}

var hostile = append([]string{
	"--", "-x", "-it", "--rm", "--unknown", "--=x", "---", "--=", "-=", "-é", "-test.v", "-h", "--help", "-v", "--version=true", "true",
	"--help=x", "-0", "-d=", "--debug", "-n", "-n=k8s.io", "\x00", "\"", "a,\"b", "help", "completion", "container", "compose", "-f",
}, words...)

// value makes a value of the flag's type, or, unless it has to be good, perhaps another.
func (g *generator) value(f *nerdctl.Flag, good bool) string {
	if !good && g.IntN(5) == 0 {
		return g.oneOf(hostile)
	}
	switch f.Type {
	case "bool":
		return g.oneOf([]string{"true", "false", "1", "0", "T", "FALSE"})
	case "int", "int64":
		return g.oneOf([]string{"0", "-1", "17", "0x10", "1_000"})
	case "uint", "uint16", "uint64":
		return g.oneOf([]string{"0", "17", "0x10", "65535"})
	case "float64":
		return g.oneOf([]string{"0.5", "-1e3", "2"})
	case "duration":
		return g.oneOf([]string{"0", "10s", "-1h2m", "1.5us"})
	case "stringSlice":
		return g.oneOf([]string{"a", "a,b", `"a,b",c`, "", "k=v,src=/x", "a b"})
	default:
		return g.oneOf(append([]string{"K=V", "K", "a:b:ro", "type=bind,src=/a,dst=/b"}, words...))
	}
}

// spoil changes a line in one place.
func (g *generator) spoil(argv []string) []string {
	if len(argv) == 0 {
		return []string{g.oneOf(hostile)}
	}
	argv = slices.Clone(argv)
	at := g.IntN(len(argv))
	switch g.IntN(7) {
	case 0:
		return argv[:len(argv)-1]
	case 1:
		return slices.Delete(argv, at, at+1)
	case 2:
		return slices.Insert(argv, at, g.oneOf(hostile))
	case 3:
		argv[at] = g.oneOf(hostile)
	case 4:
		return slices.Insert(argv, at, argv[g.IntN(len(argv))])
	case 5:
		argv[at] += g.oneOf([]string{"x", "=", "s"})
	default:
		other := g.IntN(len(argv))
		argv[at], argv[other] = argv[other], argv[at]
	}
	return argv
}

func (g *generator) oneOf(values []string) string { return values[g.IntN(len(values))] }

// coverage counts what the lines used.
func (g *generator) coverage(accepted []*nerdctl.Invocation) *coverage {
	c := &coverage{uses: map[*nerdctl.Flag]int{}, made: map[string]int{}, read: map[string]int{}, targets: g.targets}
	for i, inv := range accepted {
		c.made[g.targets[g.aimed[i]].name()]++
		if inv == nil {
			continue
		}
		c.read[cmp.Or(strings.Join(inv.Path, " "), "(global)")]++
		for _, v := range inv.Flags {
			c.uses[v.Flag]++
		}
	}
	return c
}
