package nerdctl

import (
	"slices"
	"strings"
)

// cidName is the staged file that tells which container a command made.
const cidName = "cid"

// Abandonable makes the plan ready for its command being given up half-way: nerdctl removes
// the container of an attached run --rm only when it lives to see it end. It is for a far
// side that outlives us, costs a stage, and changes nothing for other commands.
func (p *Plan) Abandonable() {
	inv := p.Invocation
	if len(inv.Path) == 0 || inv.Path[0] == "compose" || inv.Path[len(inv.Path)-1] != "run" ||
		inv.Help || inv.Bool("detach") || !inv.Bool("rm") {
		return
	}
	if !inv.IsSet("cidfile") {
		inv.Add("cidfile", placeholder(cidName))
		p.named = append(p.named, cidName)
	}
	p.undone = inv.String("cidfile")
}

// Abandoned is the command line that undoes an Abandonable plan's command after it was given
// up, nil when there is nothing to undo. path is as for Argv.
func (p *Plan) Abandoned(path func(name string) string) []string {
	if p.undone == "" {
		return nil
	}
	return []string{"sh", "-c", `test -s "$0" && exec nerdctl rm --force -- "$(cat "$0")"`, p.fill(p.undone, path)}
}

// staged are the names of all files of the stage.
func (p *Plan) staged() []string {
	names := slices.Clone(p.named)
	for _, f := range p.Stage {
		names = append(names, f.Name)
	}
	for _, f := range p.Back {
		names = append(names, f.Name)
	}
	return names
}

// Staged says whether the command needs a stage.
func (p *Plan) Staged() bool { return len(p.staged()) > 0 }

// fill puts the paths of staged files in the places of their placeholders.
func (p *Plan) fill(word string, path func(name string) string) string {
	for _, name := range p.staged() {
		if strings.Contains(word, placeholder(name)) {
			word = strings.ReplaceAll(word, placeholder(name), path(name))
		}
	}
	return word
}
