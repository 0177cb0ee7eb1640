package lens

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ParseDockerfile makes facts of a Dockerfile's text, by BuildKit's own parser. Of one that cannot be parsed the facts are its lines alone:
// BuildKit's linter says what is wrong with it.
func ParseDockerfile(name string, text []byte) *Dockerfile {
	d := &Dockerfile{Name: name, Lines: strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")}
	d.readDirectives(text)
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return d
	}
	d.readComments(parsed.AST)
	stages, args, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return d
	}
	known := defaults(parsed.EscapeToken, args)
	for i := range stages {
		d.Stages = append(d.Stages, d.newStage(&stages[i], parsed.EscapeToken, known))
	}
	for i := range d.Stages {
		d.Stages[i].Parent = d.stage(d.Stages[i].Base, i)
	}
	return d
}

// readDirectives reads what stands in the comments at the top: syntax and check.
func (d *Dockerfile) readDirectives(text []byte) {
	if _, syntax, where, ok := parser.DetectSyntax(text); ok && syntax != "" {
		d.Syntax, d.SyntaxLine = syntax, first(where)
	}
	if check, _, _, ok := parser.ParseDirective("check", text); ok {
		d.skip.read(check)
	}
}

// environment looks up the arguments of a Dockerfile that have defaults.
type environment map[string]string

func (e environment) Get(name string) (string, bool) { value, ok := e[name]; return value, ok }
func (e environment) Keys() (names []string) {
	for name := range e {
		names = append(names, name)
	}
	return names
}

// defaults are the arguments before the first stage that have defaults.
func defaults(escape rune, args []instructions.ArgCommand) environment {
	known := environment{}
	lex := shell.NewLex(escape)
	for _, arg := range args {
		for _, a := range arg.Args {
			if a.Value == nil {
				continue
			}
			if value, unknown, err := lex.ProcessWord(*a.Value, known); err == nil && len(unknown) == 0 {
				known[a.Key] = value
			}
		}
	}
	return known
}

func (d *Dockerfile) newStage(s *instructions.Stage, escape rune, known environment) Stage {
	stage := Stage{Name: s.Name, Line: first(s.Location), Raw: s.BaseName, Base: s.BaseName}
	if base, unknown, err := shell.NewLex(escape).ProcessWord(s.BaseName, known); err != nil || len(unknown) > 0 {
		stage.Base = ""
	} else {
		stage.Base = base
	}
	for _, c := range s.Commands {
		step := Step{Command: c, Line: first(c.Location()), End: last(c.Location())}
		if run, ok := c.(*instructions.RunCommand); ok {
			_ = run.Expand(func(word string) (string, error) { return word, nil }) // mounts are read by it; BuildKit's linter has their mistakes
			step.Mounts = instructions.GetMounts(run)
			if run.PrependShell {
				step.Script = parseScript(text(run.ShellDependantCmdLine))
			}
		}
		stage.Steps = append(stage.Steps, step)
	}
	return stage
}

// text is what a command in the shell's form hands to the shell. A heredoc that is the whole command is a script.
func text(c instructions.ShellDependantCmdLine) string {
	line := strings.Join(c.CmdLine, " ")
	if len(c.Files) == 1 && strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "<<"+c.Files[0].Name)) == "" {
		return c.Files[0].Data
	}
	for _, f := range c.Files {
		line += "\n" + f.Data + f.Name
	}
	return line
}

func first(where []parser.Range) int {
	if len(where) == 0 {
		return 0
	}
	return where[0].Start.Line
}

func last(where []parser.Range) int {
	if len(where) == 0 {
		return 0
	}
	return where[len(where)-1].End.Line
}

// parsePositive reads a number above 0.
func parsePositive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && n <= 0 {
		err = strconv.ErrRange
	}
	return n, err
}
