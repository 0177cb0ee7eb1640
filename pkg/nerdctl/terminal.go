package nerdctl

import "strings"

// Terminal reports whether the command talks to a container through a terminal, if it is given
// one: it then makes it raw.
func (inv *Invocation) Terminal() bool {
	switch path := strings.Join(inv.Path, " "); path {
	case "attach", "container attach":
		return true
	case "start", "container start":
		return inv.Bool("attach") || inv.Bool("interactive")
	case "compose run", "compose exec":
		return !inv.Bool("no-TTY") && !inv.Bool("detach")
	default:
		return inv.Bool("tty") && !inv.Bool("detach")
	}
}
