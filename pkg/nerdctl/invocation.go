package nerdctl

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Invocation is one parsed command line.
type Invocation struct {
	Command *Command
	// Path is the command's canonical path, aliases resolved, without the program.
	Path []string
	// Flags are all uses of flags in the order in which they take effect.
	Flags []FlagValue
	// Args are the positionals, and Dash how many of them stood before "--", or -1.
	Args []string
	Dash int
	// Help and Version say that this is all that was asked for; then nothing else was
	// checked.
	Help, Version bool

	chain []*Command
}

// FlagValue is one use of a flag.
type FlagValue struct {
	Flag *Flag
	// Value is as it was typed, or the flag's NoOpt.
	Value string
	// Level is how many words of Path stood before the flag.
	Level int
}

// Name is the name that the flag goes by: its own, or that of the flag it is an alias of.
func (v FlagValue) Name() string {
	if v.Flag.AliasOf != "" {
		return v.Flag.AliasOf
	}
	return v.Flag.Name
}

// IsSet reports whether a flag, or an alias of it, was given.
func (inv *Invocation) IsSet(name string) bool {
	return slices.ContainsFunc(inv.Flags, func(v FlagValue) bool { return v.Name() == name })
}

// String returns the last value given, or the default, which is empty when it depends on
// the host or when the command has no such flag.
func (inv *Invocation) String(name string) string {
	for _, v := range slices.Backward(inv.Flags) {
		if v.Name() == name {
			return v.Value
		}
	}
	for _, f := range flagsOf(inv.chain) {
		if f.Name == name {
			return f.Default
		}
	}
	return ""
}

// Bool returns the value of a flag of type bool; absent and without default is false.
func (inv *Invocation) Bool(name string) bool {
	v := newValue("bool")
	return v.Set(inv.String(name)) == nil && v.String() == "true"
}

// Duration returns the value of a flag of type duration, or zero.
func (inv *Invocation) Duration(name string) time.Duration {
	d, err := time.ParseDuration(inv.String(name))
	if err != nil {
		return 0
	}
	return d
}

// Strings returns all values given, those of a stringSlice split at the commas; defaults do
// not count.
func (inv *Invocation) Strings(name string) []string {
	var all []string
	for _, v := range inv.Flags {
		if v.Name() != name {
			continue
		}
		value := newValue(v.Flag.Type)
		if s, ok := value.(pflag.SliceValue); ok && value.Set(v.Value) == nil {
			all = append(all, s.GetSlice()...)
		} else {
			all = append(all, v.Value)
		}
	}
	return all
}

// Set gives a flag of the command one value, in the place of its first use and instead of
// all others, or at the end. It reports whether the command has such a flag.
func (inv *Invocation) Set(name, value string) bool {
	at := slices.IndexFunc(inv.Flags, func(v FlagValue) bool { return v.Name() == name })
	if at >= 0 {
		inv.Flags[at].Value = value
		rest := slices.DeleteFunc(inv.Flags[at+1:], func(v FlagValue) bool { return v.Name() == name })
		inv.Flags = inv.Flags[:at+1+len(rest)]
		return true
	}
	return inv.Add(name, value)
}

// Add uses a flag of the command once more, after all others.
func (inv *Invocation) Add(name, value string) bool {
	for _, f := range flagsOf(inv.chain) {
		if f.Name == name {
			inv.Flags = append(inv.Flags, FlagValue{Flag: f, Value: value, Level: len(inv.Path)})
			return true
		}
	}
	return false
}

// Remove takes away all uses of a flag and of its aliases.
func (inv *Invocation) Remove(name string) {
	inv.Flags = slices.DeleteFunc(inv.Flags, func(v FlagValue) bool { return v.Name() == name })
}

// Clone returns a copy that shares nothing that can be changed.
func (inv *Invocation) Clone() *Invocation {
	c := *inv
	c.Flags = slices.Clone(inv.Flags)
	c.Args = slices.Clone(inv.Args)
	c.Path = slices.Clone(inv.Path)
	c.chain = slices.Clone(inv.chain)
	return &c
}

// Composes reports whether the command is one of compose's, or compose itself.
func (inv *Invocation) Composes() bool { return len(inv.Path) > 0 && inv.Path[0] == "compose" }

// Argv returns the command line without the program's name, in canonical form: long flags,
// values behind "=", each flag after as many words of the path as it was typed after. What
// Parse makes of it equals inv.
func (inv *Invocation) Argv() []string {
	var argv []string
	for level := 0; level <= len(inv.Path); level++ {
		if level > 0 {
			argv = append(argv, inv.Path[level-1])
		}
		for _, v := range inv.Flags {
			if v.Level == level {
				argv = append(argv, v.Word())
			}
		}
	}
	dash := inv.Dash
	if dash < 0 {
		dash = inv.needsDash()
	}
	if dash < 0 || dash > len(inv.Args) {
		return append(argv, inv.Args...)
	}
	argv = append(argv, inv.Args[:dash]...)
	argv = append(argv, "--")
	return append(argv, inv.Args[dash:]...)
}

// needsDash returns where "--" must stand for the positionals to remain positionals, or -1.
func (inv *Invocation) needsDash() int {
	for i, arg := range inv.Args {
		if len(arg) > 1 && strings.HasPrefix(arg, "-") {
			return i
		}
		if !inv.Command.Interspersed {
			break
		}
	}
	return -1
}

// Globals are the uses of flags that apply to all commands, wherever they stand.
func (inv *Invocation) Globals() (all []FlagValue) {
	for _, v := range inv.Flags {
		if len(inv.definedBy(v.Flag)) == 0 {
			all = append(all, v)
		}
	}
	return all
}

// Alongside is another command line with the global flags of this one.
func (inv *Invocation) Alongside(argv ...string) (*Invocation, error) {
	var global []string
	for _, v := range inv.Globals() {
		global = append(global, v.Word())
	}
	return Parse(append(global, argv...))
}

// Word is the flag's use as one word.
func (v FlagValue) Word() string {
	if v.Flag.NoOpt != "" && v.Value == v.Flag.NoOpt {
		return "--" + v.Flag.Name
	}
	return "--" + v.Flag.Name + "=" + v.Value
}
