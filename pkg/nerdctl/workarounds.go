package nerdctl

import "strings"

// ApplyWorkarounds returns the command line with what the pinned nerdctl is known to get wrong avoided,
// where that costs the user nothing. inv stays as it is. Each mend names its defect, so that
// it can go with the pin that has it.
func ApplyWorkarounds(inv *Invocation) *Invocation {
	if loggerHangs(inv) {
		mended := inv.Clone()
		mended.Add("log-driver", "none")
		return mended
	}
	if showsBuilds(inv) {
		mended := inv.Clone()
		mended.Add("filter", "label="+ownLabel)
		return mended
	}
	return inv
}

// ownLabel is on every container that nerdctl has made, with its namespace as the value.
const ownLabel = "nerdctl/namespace"

// showsBuilds reports whether the line lists containers. The running steps of builds are containers of
// the same namespace, without a label, and nerdctl 2.3.5 takes them for the user's own: it
// shows them, and a user who removes what is shown ends a build.
func showsBuilds(inv *Invocation) bool {
	switch strings.Join(inv.Path, " ") {
	case "ps", "container ls":
		return !inv.Help
	}
	return false
}

// Pruning is `container prune` in two commands: nerdctl 2.3.5 would remove a build's step in the
// moment in which it has ended and BuildKit has not yet taken notice. List prints the candidates;
// Remove takes what List has printed and returns what removes them, nil when there is nothing.
func Pruning(inv *Invocation) (list *Invocation, remove func(listed string) (*Invocation, error), ok bool) {
	if strings.Join(inv.Path, " ") != "container prune" || inv.Help {
		return nil, nil, false
	}
	list, err := inv.Alongside("ps", "--all", "--no-trunc", "--format={{.ID}} {{.Status}}")
	if err != nil {
		return nil, nil, false
	}
	return ApplyWorkarounds(list), func(listed string) (*Invocation, error) {
		var ids []string
		for line := range strings.Lines(listed) {
			id, status, _ := strings.Cut(strings.TrimSpace(line), " ")
			if id != "" && !strings.HasPrefix(status, "Up") && !strings.HasPrefix(status, "Paus") {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			return nil, nil
		}
		return inv.Alongside(append([]string{"rm", "--volumes", "--"}, ids...)...)
	}, true
}

// loggerHangs reports whether the line is an attached run of a container that is removed at
// its end. nerdctl 2.3.5 copies the output of an attached run to a logger of its own, which
// stops reading when the container ends; with more than a pipe's 64 KiB still to come,
// nerdctl then waits for ever. The log of a container that is removed is removed with it.
func loggerHangs(inv *Invocation) bool {
	switch {
	case len(inv.Path) == 0 || inv.Composes() || inv.Path[len(inv.Path)-1] != "run":
		return false
	case inv.Help, inv.Bool("detach"), !inv.Bool("rm"), inv.IsSet("log-driver"), inv.IsSet("log-opt"):
		return false
	}
	return true
}
