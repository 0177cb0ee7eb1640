package lens

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Script is what a shell is told to do, as far as its text says.
type Script struct {
	Calls []Call
	// Background says that a command is left to run.
	Background bool
	// Text is the script itself.
	Text string
}

// Call is one command of a script.
type Call struct {
	// Words are literal; a word with something in it that the text does not tell is as it was written.
	Words []string
	// Piped says that the output of another command is its input.
	Piped bool
}

// parseScript reads a script as a POSIX shell and Bash do; nil says that it cannot be read.
func parseScript(text string) *Script {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil
	}
	s := &Script{Text: text}
	piped := map[*syntax.Stmt]bool{}
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				piped[n.Y] = true
			}
		case *syntax.Stmt:
			s.Background = s.Background || n.Background
			if call, ok := n.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 {
				s.Calls = append(s.Calls, Call{Words: unwrap(words(text, call.Args)), Piped: piped[n]})
			}
		}
		return true
	})
	return s
}

func words(text string, args []*syntax.Word) (all []string) {
	for _, w := range args {
		all = append(all, word(text, w))
	}
	return all
}

// word is a word without its quotes where it is literal.
func word(text string, w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, inner := range p.Parts {
				if lit, ok := inner.(*syntax.Lit); ok {
					b.WriteString(lit.Value)
				} else {
					b.WriteString(text[inner.Pos().Offset():inner.End().Offset()])
				}
			}
		default:
			b.WriteString(text[part.Pos().Offset():part.End().Offset()])
		}
	}
	return b.String()
}

// wrappers are commands that run the rest of their line.
var wrappers = []string{"sudo", "env", "exec", "command", "time", "nice", "gosu", "su-exec"}

// unwrap takes off what runs the rest of a line; sudo stays known by uses.
func unwrap(words []string) []string {
	for i, w := range words {
		if !slices.Contains(wrappers, w) && !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			if i > 0 && words[0] != "sudo" {
				return words[i:]
			}
			return words
		}
	}
	return words
}

// name is the command without its directory; of sudo, what that runs.
func (c Call) name() string {
	words := c.plain()
	if len(words) == 0 {
		return ""
	}
	return words[0][strings.LastIndexByte(words[0], '/')+1:]
}

// plain is the words without sudo and its flags.
func (c Call) plain() []string {
	if len(c.Words) == 0 || c.Words[0] != "sudo" {
		return c.Words
	}
	for i, w := range c.Words[1:] {
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			return c.Words[i+1:]
		}
	}
	return nil
}

// has reports whether a word is among the arguments.
func (c Call) has(words ...string) bool {
	return slices.ContainsFunc(c.plain(), func(w string) bool { return slices.Contains(words, w) })
}

// flag reports whether a flag is given: a long one by its beginning, a short letter also among others ("-qqy").
func (c Call) flag(long, short string) bool {
	for _, w := range c.plain() {
		switch {
		case long != "" && (w == long || strings.HasPrefix(w, long+"=")):
			return true
		case short != "" && strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--") && strings.Contains(w, short):
			return true
		}
	}
	return false
}

// args are the arguments that are no flags, without the command.
func (c Call) args() (all []string) {
	words := c.plain()
	if len(words) == 0 {
		return nil
	}
	for _, w := range words[1:] {
		if !strings.HasPrefix(w, "-") {
			all = append(all, w)
		}
	}
	return all
}
