package nerdctl

// cidName is the staged file that tells which container a command made.
const cidName = "cid"

// WithCancelCleanup makes the plan ready for its command being given up half-way: nerdctl removes
// the container of an attached run --rm only when it lives to see it end. It is for a far
// side that outlives us, costs a stage, and changes nothing for other commands.
func (p *Plan) WithCancelCleanup() {
	inv := p.Invocation
	if len(inv.Path) == 0 || inv.Path[0] == "compose" || inv.Path[len(inv.Path)-1] != "run" ||
		inv.Help || inv.Bool("detach") || !inv.Bool("rm") {
		return
	}
	if !inv.IsSet("cidfile") {
		inv.Add("cidfile", p.Reserve(cidName))
	}
	p.undone = inv.String("cidfile")
}

// OnCancel is the command line that undoes an WithCancelCleanup plan's command after it was given
// up, nil when there is nothing to undo. path is as for Argv.
func (p *Plan) OnCancel(path func(name string) string) []string {
	if p.undone == "" {
		return nil
	}
	return []string{"sh", "-c", `test -s "$0" && exec nerdctl rm --force -- "$(cat "$0")"`, p.Fill(p.undone, path)}
}
