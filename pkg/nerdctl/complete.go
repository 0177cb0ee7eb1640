package nerdctl

import "strings"

// Candidates is what a word may be completed to: words that are known, and kinds of names
// that only an engine or the file system knows.
type Candidates struct {
	Words []Word
	Kinds Completion
}

// Word is a candidate and what it means.
type Word struct{ Text, About string }

// Complete says what current, the word under the cursor, may become after the words before
// it, which begin with a top-level command. It goes by the tables alone.
func Complete(before []string, current string) Candidates {
	s := scan(before)
	switch {
	case s.pending != nil:
		return flagValues(s.pending, "")
	case s.foreign:
		return Candidates{Kinds: Files}
	case !s.dashed && strings.HasPrefix(current, "--") && strings.Contains(current, "="):
		name, _, _ := strings.Cut(current[2:], "=")
		if f := s.flag(name, false); f != nil {
			return flagValues(f, "--"+name+"=")
		}
		return Candidates{}
	case !s.dashed && strings.HasPrefix(current, "-"):
		return Candidates{Words: s.flagWords()}
	}
	c := s.chain[len(s.chain)-1]
	if c.Group || len(c.Commands) > 0 && s.args == 0 {
		var words []Word
		for _, sub := range c.Commands {
			if !sub.Hidden {
				words = append(words, Word{sub.Name, sub.Short})
			}
		}
		return Candidates{Words: words}
	}
	return Candidates{Kinds: c.CompletesArg(s.args)}
}

// scanned is what the words before the cursor amount to.
type scanned struct {
	chain   []*Command
	args    int   // positionals so far
	pending *Flag // the flag that waits for its value
	dashed  bool  // after "--"
	foreign bool  // in another program's command line, behind the image of run
}

func scan(words []string) scanned {
	s := scanned{chain: []*Command{Root()}}
	for _, w := range words {
		last := s.chain[len(s.chain)-1]
		switch {
		case s.pending != nil:
			s.pending = nil
		case s.dashed || w == "-" || !strings.HasPrefix(w, "-"):
			if next := last.child(w); next != nil && s.args == 0 && !s.dashed {
				s.chain = append(s.chain, next)
				continue
			}
			s.args++
			s.foreign = !last.Interspersed && last.CompletesArg(1) == 0
		case s.foreign:
		case w == "--":
			s.dashed = true
		case strings.HasPrefix(w, "--"):
			if f := s.flag(w[2:], false); f != nil && f.NoOpt == "" {
				s.pending = f
			}
		default:
			s.pending = s.shorthands(w[1:])
		}
	}
	return s
}

// shorthands reads combined shorthands and returns the flag at their end that still waits
// for its value, or nil.
func (s scanned) shorthands(letters string) *Flag {
	for i := range letters {
		f := s.flag(letters[i:i+1], true)
		if f == nil {
			return nil
		}
		if f.NoOpt == "" {
			if i == len(letters)-1 {
				return f
			}
			return nil // the rest is the value
		}
	}
	return nil
}

func (s scanned) flag(name string, short bool) *Flag {
	for _, f := range flagsOf(s.chain) {
		if short && f.Shorthand == name || !short && f.Name == name {
			return f
		}
	}
	return nil
}

func (s scanned) flagWords() []Word {
	var words []Word
	for _, f := range flagsOf(s.chain) {
		if f.Hidden || len(f.Name) < 2 {
			continue
		}
		words = append(words, Word{"--" + f.Name, f.Usage})
		if f.Shorthand != "" {
			words = append(words, Word{"-" + f.Shorthand, f.Usage})
		}
	}
	return words
}

func flagValues(f *Flag, prefix string) Candidates {
	var words []Word
	for _, v := range f.Values {
		words = append(words, Word{Text: prefix + v})
	}
	if f.Type == "bool" {
		words = []Word{{Text: prefix + "true"}, {Text: prefix + "false"}}
	}
	kinds := f.Complete
	if kinds == 0 && len(words) == 0 {
		kinds = Files // a shell's own guess is better than none
	}
	return Candidates{Words: words, Kinds: kinds}
}
