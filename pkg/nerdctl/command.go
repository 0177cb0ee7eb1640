// Package nerdctl is nerdctl's command line as data: every command and flag of the pinned
// nerdctl (tables_gen.go, taken from nerdctl's own command tree), a parser that reads a
// command line exactly as nerdctl would, and Localize, which says what has to be changed
// and carried so that the line means in the guest what it means here.
//
// The package is pure: it runs nothing, opens nothing, reads no environment and knows no
// Guest. What only the host knows comes in through Host.
package nerdctl

import "strings"

// Command is one command of nerdctl's tree, or a group of commands.
type Command struct {
	Name    string
	Aliases []string
	// Use is nerdctl's use line without the parents' names; Short, Long and Example are
	// nerdctl's texts as they stand, in nerdctl's name. Help renders them in another.
	Use, Short, Long, Example string
	Deprecated                string
	Hidden                    bool
	// Management says that nerdctl lists the command among its management commands.
	Management bool
	// Group says that the command does nothing but hold others.
	Group bool
	// Strict says that the group refuses a word that names no command; other groups print
	// their help whatever follows.
	Strict bool
	// Interspersed says that flags may stand after the first positional.
	Interspersed bool
	// MinArgs and MaxArgs bound the number of positionals; MaxArgs -1 means any number.
	MinArgs, MaxArgs int
	// Complete is what the positionals are names of.
	Complete Completion
	// Flags are those that the command defines itself; the persistent flags of the
	// commands above it apply too.
	Flags []Flag
	// Commands are sorted by name.
	Commands []*Command
}

// Flag is one flag of one command.
type Flag struct {
	Name, Shorthand string
	// Type is pflag's name of the value's type: "bool", "string", "stringArray", ...
	Type string
	// NoOpt is the value that the flag takes when it is given without one; empty means
	// that a value must follow.
	NoOpt string
	// Default is empty where it depends on the host that nerdctl runs on.
	Default, Usage string
	// AliasOf names the flag that this one is another spelling of.
	AliasOf string
	Hidden  bool
	// Persistent flags apply to all commands below the one that defines them.
	Persistent bool
	Required   bool
	// Builtin marks the help and version flags that nerdctl's command library adds by
	// itself, and only to the command that is executed.
	Builtin  bool
	Complete Completion
	// Values are the values to offer, where they are few and known.
	Values []string
}

// Completion is a set of kinds of names that a word may be completed to.
type Completion uint16

// The kinds of names.
const (
	Containers Completion = 1 << iota
	Images
	Networks
	Volumes
	Namespaces
	Snapshotters
	Platforms
	AppArmorProfiles
	Files
	Directories
)

// Find returns the command at a path of names or aliases below c, or nil.
func (c *Command) Find(path ...string) *Command {
	for _, name := range path {
		if c = c.child(name); c == nil {
			return nil
		}
	}
	return c
}

// Flag returns the flag of that name which c defines itself, or nil.
func (c *Command) Flag(name string) *Flag {
	for i := range c.Flags {
		if c.Flags[i].Name == name {
			return &c.Flags[i]
		}
	}
	return nil
}

// CompletesArg is what the positional of that index, from 0, is a name of.
func (c *Command) CompletesArg(index int) Completion {
	if c.MaxArgs >= 0 && index >= c.MaxArgs {
		return 0
	}
	// What follows the first positional of run or exec is another program's command line.
	if index > 0 && !c.Interspersed && (strings.Contains(c.Use, "COMMAND") || strings.Contains(c.Use, "ps OPTIONS")) {
		return 0
	}
	// nerdctl leaves paths to the shell and says so nowhere but in the use line.
	switch first := index == 0; {
	case c.Name == "build" && strings.HasSuffix(c.Use, "PATH"):
		return Directories
	case c.Name == "cp" && strings.Contains(c.Use, "SRC_PATH"):
		return Containers | Files
	case c.Name == "import" && first:
		return Files
	}
	return c.Complete
}

func (c *Command) child(name string) *Command {
	for _, sub := range c.Commands {
		if sub.Name == name {
			return sub
		}
		for _, alias := range sub.Aliases {
			if alias == name {
				return sub
			}
		}
	}
	return nil
}

// flagsOf returns the flags that apply to the last command of a chain that starts at the
// root, the nearest definition of a name first.
func flagsOf(chain []*Command) []*Flag {
	var flags []*Flag
	taken := func(name string) bool {
		for _, f := range flags {
			if f.Name == name {
				return true
			}
		}
		return false
	}
	last := chain[len(chain)-1]
	for i := range last.Flags {
		flags = append(flags, &last.Flags[i])
	}
	for level := len(chain) - 2; level >= 0; level-- {
		for i := range chain[level].Flags {
			if f := &chain[level].Flags[i]; f.Persistent && !taken(f.Name) {
				flags = append(flags, f)
			}
		}
	}
	return flags
}
