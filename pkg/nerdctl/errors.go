package nerdctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// The wording: "COMMAND: what is wrong", the command without the program's name, the flag
// with its dashes, the value in quotes. The CLI adds its own prefix and the hint.

// UnknownCommandError is a word that names no command.
type UnknownCommandError struct {
	// Path is the group that was asked, empty for nerdctl itself.
	Path []string
	Name string
	// Suggestions are names near to it, the nearest first.
	Suggestions []string
}

func (e *UnknownCommandError) Error() string {
	return about(e.Path, fmt.Sprintf("unknown command %q", e.Name))
}

// Hint proposes the near name, or is empty.
func (e *UnknownCommandError) Hint() string { return didYouMean(e.Path, e.Suggestions) }

// FlagError is a flag that is unknown, misses its value, has a bad one, or is missing.
type FlagError struct {
	Path []string
	// Flag is the flag with its dashes, as it was typed.
	Flag   string
	Reason string
	// Suggestions are flags near to it, with their dashes, the nearest first.
	Suggestions []string
	// Err is pflag's own error, or nil.
	Err error
}

func (e *FlagError) Error() string { return about(e.Path, e.Flag+" "+e.Reason) }
func (e *FlagError) Unwrap() error { return e.Err }

// Hint proposes the near flag, or is empty.
func (e *FlagError) Hint() string { return didYouMean(nil, e.Suggestions) }

// PathOf is the path of the command that an error of Parse is about.
func PathOf(err error) []string {
	var unknown *UnknownCommandError
	var flag *FlagError
	var args *ArgsError
	switch {
	case errors.As(err, &unknown):
		return unknown.Path
	case errors.As(err, &flag):
		return flag.Path
	case errors.As(err, &args):
		return args.Path
	}
	return nil
}

// ArgsError is too few or too many positionals.
type ArgsError struct {
	Path []string
	// Use is the command's use line, in nerdctl's words.
	Use string
	// Max is -1 where any number is accepted.
	Min, Max, Got int
}

func (e *ArgsError) Error() string {
	var want string
	switch {
	case e.Max == 0:
		want = "takes no arguments"
	case e.Min == e.Max:
		want = "needs exactly " + count(e.Min)
	case e.Got < e.Min:
		want = "needs at least " + count(e.Min)
	default:
		want = "takes at most " + count(e.Max)
	}
	got := fmt.Sprintf("got %d", e.Got)
	if e.Got == 0 {
		got = "got none"
	}
	return about(e.Path, want+", "+got)
}

func count(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

func about(path []string, what string) string {
	if len(path) == 0 {
		return what
	}
	return strings.Join(path, " ") + ": " + what
}

func didYouMean(path, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", strings.Join(append(slices.Clone(path), names[0]), " "))
}

// flagError puts pflag's error into our words.
func flagError(chain []*Command, err error) error {
	e := &FlagError{Err: err}
	for _, c := range chain[1:] {
		e.Path = append(e.Path, c.Name)
	}
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		syntax  *pflag.InvalidSyntaxError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		e.Flag, e.Reason = "-"+unknown.GetSpecifiedShortnames()[:1], "is no flag of this command"
		if len(unknown.GetSpecifiedShortnames()) > 1 {
			e.Reason += fmt.Sprintf(" (in -%s)", unknown.GetSpecifiedShortnames())
		}
	case errors.As(err, &unknown):
		e.Flag, e.Reason = "--"+unknown.GetSpecifiedName(), "is no flag of this command"
		e.Suggestions = suggestFlags(chain, unknown.GetSpecifiedName())
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() != "":
		e.Flag, e.Reason = "-"+missing.GetSpecifiedName(), "needs a value"
	case errors.As(err, &missing):
		e.Flag, e.Reason = "--"+missing.GetSpecifiedName(), "needs a value"
	case errors.As(err, &invalid):
		e.Flag = "--" + invalid.GetFlag().Name
		e.Reason = fmt.Sprintf("%q is not %s", invalid.GetValue(), typeWords(invalid.GetFlag().Value.Type()))
	case errors.As(err, &syntax):
		e.Flag, e.Reason = syntax.GetSpecifiedFlag(), "is not the form of a flag"
	case errors.Is(err, pflag.ErrHelp):
		e.Flag, e.Reason = "--help", "must stand after the command or alone"
	default:
		e.Flag, e.Reason = "flags:", err.Error()
	}
	return e
}

func typeWords(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int", "int64":
		return "a whole number"
	case "uint", "uint16", "uint64":
		return "a whole number in range, 0 or more"
	case "float64":
		return "a number"
	case "duration":
		return `a duration such as "10s"`
	case "stringSlice":
		return "a comma-separated list"
	default:
		return "a " + kind
	}
}

func suggestCommands(c *Command, name string) []string {
	var names []string
	for _, sub := range c.Commands {
		if !sub.Hidden {
			names = append(names, sub.Name)
			names = append(names, sub.Aliases...)
		}
	}
	return Near(name, names)
}

func suggestFlags(chain []*Command, name string) []string {
	var names []string
	for _, f := range flagsOf(chain) {
		if !f.Hidden && len(f.Name) > 1 {
			names = append(names, f.Name)
		}
	}
	names = Near(name, names)
	for i := range names {
		names[i] = "--" + names[i]
	}
	return names
}

// Near returns the names within two edits of word, or that begin with it, nearest first; of
// equally near ones those that share more letters in their order.
func Near(word string, names []string) []string {
	const most = 2
	if len(word) > 64 { // no typing error
		return nil
	}
	word = strings.ToLower(word)
	distance := map[string]int{}
	var found []string
	for _, name := range names {
		d := edits(word, name)
		prefix := len(word) >= 2 && strings.HasPrefix(name, word)
		if d > most && !prefix || d >= len(name) || d >= len(word) && !prefix {
			continue
		}
		distance[name] = d
		found = append(found, name)
	}
	slices.SortStableFunc(found, func(a, b string) int {
		if distance[a] != distance[b] {
			return distance[a] - distance[b]
		}
		if d := sameLetters(b, word) - sameLetters(a, word); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(found)
}

// sameLetters counts the letters of word that name has too.
func sameLetters(name, word string) (n int) {
	for _, r := range word {
		if strings.ContainsRune(name, r) {
			n++
		}
	}
	return n
}

// edits is the Levenshtein distance with the swap of two neighbours as one edit.
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
