package nerdctl

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// Help renders a command's help as nerdctl does, in the name of another program.
func Help(c *Command, program string) string {
	path := pathTo(Root(), c)
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n", useLine(c, path, program))
	if text := strings.TrimSpace(longText(c)); text != "" {
		fmt.Fprintf(&b, "%s\n\n", Rename(text, program))
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "Aliases: %s\n\n", strings.Join(append([]string{c.Name}, c.Aliases...), ", "))
	}
	if example := strings.Trim(c.Example, "\n"); example != "" {
		fmt.Fprintf(&b, "Example:\n%s\n\n", Rename(example, program))
	}
	for _, list := range []struct {
		title      string
		management bool
	}{{"Management commands", true}, {"Commands", false}} {
		writeCommands(&b, list.title, c, list.management, program)
	}
	if usages := flagUsages(c, program); usages != "" {
		fmt.Fprintf(&b, "Flags:\n%s\n", usages)
	}
	if c.Group {
		fmt.Fprintf(&b, "Run '%s COMMAND --help' for more information on a command.\n", strings.Join(append([]string{program}, path...), " "))
	}
	if len(path) > 0 {
		fmt.Fprintf(&b, "See also '%s --help' for the global flags.\n", program)
	}
	return b.String()
}

func longText(c *Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short
}

func useLine(c *Command, path []string, program string) string {
	words := []string{program}
	if len(path) > 0 {
		words = append(words, path[:len(path)-1]...)
		words = append(words, Rename(c.Use, program))
	}
	line := strings.Join(words, " ")
	switch {
	case c.Group:
		return line + " COMMAND"
	case strings.Contains(strings.ToLower(line), "[flags]"), strings.Contains(line, "[OPTIONS]"):
		return line
	default:
		return line + " [flags]"
	}
}

func writeCommands(b *strings.Builder, title string, c *Command, management bool, program string) {
	width, some := 0, false
	listed := func(sub *Command) bool { return !sub.Hidden && sub.Management == management }
	for _, sub := range c.Commands {
		if listed(sub) {
			width, some = max(width, len(sub.Name)), true
		}
	}
	if !some {
		return
	}
	fmt.Fprintf(b, "%s:\n", title)
	for _, sub := range c.Commands {
		if listed(sub) {
			fmt.Fprintf(b, "  %-*s  %s\n", width, sub.Name, Rename(sub.Short, program))
		}
	}
	b.WriteString("\n")
}

// flagUsages lists the flags that c defines, aligned as pflag aligns them.
func flagUsages(c *Command, program string) string { return FlagSet(c, program).FlagUsages() }

// FlagSet is the flags that a command defines, described in the name of a program: to be shown, not to be parsed with.
func FlagSet(c *Command, program string) *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	for i := range c.Flags {
		f := &c.Flags[i]
		value := newValue(f.Type)
		def := f.Default
		if def == "" {
			def = value.String()
		}
		fs.AddFlag(&pflag.Flag{
			Name: f.Name, Shorthand: f.Shorthand, Usage: Rename(f.Usage, program),
			Value: value, DefValue: def, NoOptDefVal: f.NoOpt, Hidden: f.Hidden,
		})
	}
	return fs
}

// Rename puts a program's name in the place of nerdctl's, wherever a text means the program
// and not a file, a module or an address of that name.
func Rename(text, program string) string {
	const name = "nerdctl"
	var b strings.Builder
	for {
		at := strings.Index(text, name)
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		before, after := text[:at], text[at+len(name):]
		b.WriteString(before)
		if strings.HasSuffix(before, "/") || partOfWord(before, len(before)-1) || partOfWord(after, 0) ||
			strings.HasPrefix(after, "/") || strings.HasPrefix(after, ".") && partOfWord(after, 1) {
			b.WriteString(name)
		} else {
			b.WriteString(program)
		}
		text = after
	}
}

func partOfWord(s string, at int) bool {
	if at < 0 || at >= len(s) {
		return false
	}
	c := s[at]
	return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// pathTo returns the names from root to c, without the root's.
func pathTo(root, c *Command) []string {
	for _, sub := range root.Commands {
		if sub == c {
			return []string{sub.Name}
		}
		if path := pathTo(sub, c); path != nil {
			return append([]string{sub.Name}, path...)
		}
	}
	return nil
}
