// Package doctor judges a machine: Facts, read once by package gather, go through a table of checks, each a pure function with
// a name, and come out as findings with a reason and a fix. What may be done without a user is an Action, as data.
//
// It must not know how a fact is read nor how an action is carried out: every fault there is can be shown by a value of Facts.
package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// State is what a check comes to.
type State string

// The states. Skipped is a check that means nothing on this machine, or that was not asked for.
const (
	OK      State = "ok"
	Warning State = "warning"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Check is one thing that is looked at.
type Check struct {
	// ID is the word that names it on a command line, Title what it is in a few words.
	ID, Title string
	// Looks says what it looks at, and Why what goes wrong without it; each a sentence without a full stop.
	Looks, Why string
	// Repairs says what Repair may do about it; empty where only a user can do something.
	Repairs string
	// Network reports whether it asks machines elsewhere, which has to be asked for.
	Network bool

	judge func(f *Facts) []Finding
}

// Finding is what a check has found: one line.
type Finding struct {
	State State
	// Says is the reason, and Fix the one thing that a user can do; both without a full stop. Fix is empty where all is well.
	Says, Fix string
	// Do is what Repair would do.
	Do []Action
}

// Result is a finding with its check.
type Result struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	State State  `json:"state"`
	Says  string `json:"reason"`
	Why   string `json:"why,omitempty"`
	Fix   string `json:"fix,omitempty"`
	// Repairable reports whether --fix would do something about it.
	Repairable bool `json:"repairable"`

	Do []Action `json:"-"`
}

// Kind is a kind of action.
type Kind string

// What may be done without a user: each only to what is linnet's.
const (
	// MakeDir makes a directory for its owner alone.
	MakeDir Kind = "make directory"
	// Protect takes from others the right to write to a directory that is the user's.
	Protect Kind = "protect directory"
	// RemoveSocket removes a socket on which no process listens.
	RemoveSocket Kind = "remove socket"
	// RemoveLink removes a symbolic link that has a known target.
	RemoveLink Kind = "remove link"
	// RemoveEntry takes an entry out of the kernel's binfmt_misc.
	RemoveEntry Kind = "remove binfmt entry"
)

// Action is something that Repair does. Target is what a link has to lead to, so that it is removed.
type Action struct {
	Kind   Kind   `json:"kind"`
	Path   string `json:"path"`
	Target string `json:"target,omitempty"`
}

// Done says in words what an action has done.
func (a Action) Done() string {
	switch a.Kind {
	case MakeDir:
		return "made the directory " + a.Path
	case Protect:
		return "took from others the right to write to " + a.Path
	case RemoveSocket:
		return "removed the socket " + a.Path
	case RemoveLink:
		return "removed the link " + a.Path
	}
	return "removed the kernel's entry " + a.Path
}

// Checks are all checks, in the order in which they are shown.
func Checks() []Check {
	return slices.Concat(homeChecks(), kernelChecks(), userChecks(), systemChecks(), engineChecks(), machineChecks(), networkChecks(), dockerChecks())
}

// Find chooses checks by their names; none means all. An unknown name is an error that lists nothing.
func Find(names []string) ([]Check, error) {
	all := Checks()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Check
	for _, name := range names {
		i := slices.IndexFunc(all, func(c Check) bool { return c.ID == name })
		if i < 0 {
			return nil, &UnknownError{Name: name}
		}
		if !slices.ContainsFunc(chosen, func(c Check) bool { return c.ID == name }) {
			chosen = append(chosen, all[i])
		}
	}
	return chosen, nil
}

// UnknownError says that there is no check of that name.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string { return fmt.Sprintf("there is no check %q", e.Name) }

// Judge puts facts before checks. A check that means nothing here has one result with the state Skipped.
func Judge(f *Facts, checks []Check) (results []Result) {
	for _, c := range checks {
		findings := c.judge(f)
		if c.Network && !f.Network {
			findings = []Finding{{State: Skipped, Says: "not asked for: --network"}}
		}
		if len(findings) == 0 {
			findings = []Finding{{State: Skipped, Says: "it means nothing here"}}
		}
		for _, found := range findings {
			r := Result{ID: c.ID, Title: c.Title, State: found.State, Says: found.Says, Fix: found.Fix, Do: found.Do, Repairable: len(found.Do) > 0}
			if found.State == Warning || found.State == Failed {
				r.Why = c.Why
			}
			results = append(results, r)
		}
	}
	return results
}

// Count is how many results have a state.
func Count(results []Result, s State) (n int) {
	for _, r := range results {
		if r.State == s {
			n++
		}
	}
	return n
}

// Actions are what Repair would do about results, each once, in their order.
func Actions(results []Result) (all []Action) {
	for _, r := range results {
		for _, a := range r.Do {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	return all
}

// Table is all checks as a table in Markdown, for the documentation.
func Table() string {
	var b strings.Builder
	b.WriteString("| check | what it looks at | why | what `--fix` does |\n| --- | --- | --- | --- |\n")
	for _, c := range Checks() {
		looks := c.Looks
		if c.Network {
			looks += "; only with `--network`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.ID, looks, c.Why, c.Repairs)
	}
	return b.String()
}

// ok is a finding that all is well.
func ok(format string, args ...any) Finding {
	return Finding{State: OK, Says: fmt.Sprintf(format, args...)}
}

func warning(fix, format string, args ...any) Finding {
	return Finding{State: Warning, Says: fmt.Sprintf(format, args...), Fix: fix}
}

func failed(fix, format string, args ...any) Finding {
	return Finding{State: Failed, Says: fmt.Sprintf(format, args...), Fix: fix}
}

// orOK is what was found, or, where nothing was, that all is well.
func orOK(found []Finding, format string, args ...any) []Finding {
	if len(found) == 0 {
		return []Finding{ok(format, args...)}
	}
	return found
}

// bytes writes an amount as people read it: "1.5 GiB".
func bytes(n int64) string {
	const step = 1024
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= step && unit < len(units)-1 {
		value, unit = value/step, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
