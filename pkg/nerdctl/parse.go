package nerdctl

import (
	"errors"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// Parse reads a whole nerdctl command line, without the program's name and with its global
// flags, as nerdctl reads it: pflag parses the flags, and the command is found as cobra's
// Traverse finds it. Errors are *UnknownCommandError, *FlagError and *ArgsError.
//
// cobra's hidden __complete command is the one thing that nerdctl knows and Parse does not.
func Parse(argv []string) (*Invocation, error) {
	inv, rest, err := Root().Traverse(argv)
	if err == nil {
		err = inv.Finish(rest)
	}
	return inv, err
}

// Finish parses what Traverse has left, and refuses what nerdctl refuses. It is called once.
func (inv *Invocation) Finish(rest []string) error {
	fs := inv.flagSet(true)
	if err := fs.Parse(rest); errors.Is(err, pflag.ErrHelp) {
		inv.Help = true
		return nil
	} else if err != nil {
		return flagError(inv.chain, err)
	}
	inv.Args, inv.Dash = fs.Args(), fs.ArgsLenAtDash()
	inv.Help = inv.Bool("help")
	inv.Version = !inv.Help && len(inv.chain) == 1 && inv.Bool("version")
	if inv.Help || inv.Version {
		inv.dropWords()
		return nil
	}
	return inv.validate()
}

// validate refuses what nerdctl refuses before it does anything: a word that is no
// command, too few or too many positionals, a required flag that is not there.
func (inv *Invocation) validate() error {
	c := inv.Command
	if c.Group {
		if len(inv.Args) == 0 || !c.Strict {
			inv.Help = true
			inv.dropWords()
			return nil
		}
		return &UnknownCommandError{Path: inv.Path, Name: inv.Args[0], Suggestions: suggestCommands(c, inv.Args[0])}
	}
	if got := len(inv.Args); got < c.MinArgs || c.MaxArgs >= 0 && got > c.MaxArgs {
		return &ArgsError{Path: inv.Path, Use: c.Use, Min: c.MinArgs, Max: c.MaxArgs, Got: got}
	}
	for i := range c.Flags {
		if f := &c.Flags[i]; f.Required && !inv.IsSet(f.Name) {
			return &FlagError{Path: inv.Path, Flag: "--" + f.Name, Reason: "is required"}
		}
	}
	return nil
}

// dropWords forgets the positionals of a group whose help is asked for: they mean nothing,
// and there is no second way to write them that would not name a command.
func (inv *Invocation) dropWords() {
	if inv.Command.Group {
		inv.Args, inv.Dash = nil, -1
	}
}

// Traverse walks down from c, the top of a tree, to the command that argv names. It parses the flags of each command on
// the way, and returns what is left for the last one. It is cobra's Command.Traverse, with
// its way of guessing whether a flag takes the next word: a builtin flag is not known yet. An error is *FlagError.
func (c *Command) Traverse(argv []string) (inv *Invocation, rest []string, err error) {
	inv = &Invocation{Command: c, Dash: -1, chain: []*Command{c}}
	for {
		fs := inv.flagSet(false)
		at, next, flags := step(inv.Command, fs, argv)
		if next == nil {
			return inv, argv, nil
		}
		if err := fs.Parse(flags); err != nil {
			return nil, nil, flagError(inv.chain, err)
		}
		inv.Command, inv.chain, inv.Path = next, append(inv.chain, next), append(inv.Path, next.Name)
		argv = argv[at+1:]
	}
}

// step finds the first word of argv that is neither a flag nor a flag's value. It returns
// the command below c that it names, or nil, and the flags before it.
func step(c *Command, fs *pflag.FlagSet, argv []string) (at int, next *Command, flags []string) {
	var value bool
	for i, arg := range argv {
		switch {
		case strings.HasPrefix(arg, "--") && !strings.Contains(arg, "="):
			f := fs.Lookup(arg[2:])
			value = f == nil || f.NoOptDefVal == ""
		case strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") && len(arg) == 2 && takesValue(fs, arg[1:]):
			value = true
		case value:
			value = false
		case len(arg) >= 3 && arg[:2] == "--", len(arg) >= 2 && arg[0] == '-' && arg[1] != '-':
		default:
			return i, c.child(arg), argv[:i]
		}
	}
	return 0, nil, nil
}

func takesValue(fs *pflag.FlagSet, shorthand string) bool {
	f := fs.ShorthandLookup(shorthand)
	return f == nil || f.NoOptDefVal == ""
}

// flagSet makes the flag set of the last command of the chain; builtin reports whether it is
// the one that is executed.
func (inv *Invocation) flagSet(builtin bool) *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.SetInterspersed(inv.chain[len(inv.chain)-1].Interspersed)
	level := len(inv.chain) - 1
	for _, f := range flagsOf(inv.chain) {
		if f.Builtin && !builtin {
			continue
		}
		fs.AddFlag(&pflag.Flag{
			Name: f.Name, Shorthand: f.Shorthand, NoOptDefVal: f.NoOpt,
			Value: &recorder{flag: f, level: level, into: inv},
		})
	}
	return fs
}

// recorder is a pflag.Value that notes every value which the flag's type accepts.
type recorder struct {
	flag  *Flag
	level int
	into  *Invocation
}

func (r *recorder) String() string { return "" }
func (r *recorder) Type() string   { return r.flag.Type }

func (r *recorder) Set(s string) error {
	v := newValue(r.flag.Type)
	if v == nil {
		return errors.New("a flag of unknown type " + r.flag.Type)
	}
	if err := v.Set(s); err != nil {
		return err
	}
	r.into.Flags = append(r.into.Flags, FlagValue{Flag: r.flag, Value: s, Level: r.level})
	return nil
}

// newValue returns pflag's own value of a type, or nil when the tables use a type that is
// not known here, which a test rules out.
func newValue(kind string) pflag.Value {
	var fs pflag.FlagSet
	const name = "v"
	switch kind {
	case "bool":
		fs.Bool(name, false, "")
	case "string":
		fs.String(name, "", "")
	case "stringArray":
		fs.StringArray(name, nil, "")
	case "stringSlice":
		fs.StringSlice(name, nil, "")
	case "int":
		fs.Int(name, 0, "")
	case "int64":
		fs.Int64(name, 0, "")
	case "uint":
		fs.Uint(name, 0, "")
	case "uint16":
		fs.Uint16(name, 0, "")
	case "uint64":
		fs.Uint64(name, 0, "")
	case "float64":
		fs.Float64(name, 0, "")
	case "duration":
		fs.Duration(name, 0, "")
	default:
		return nil
	}
	return fs.Lookup(name).Value
}
