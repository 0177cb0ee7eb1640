package vm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind is what a step does.
type Kind string

// The kinds of steps, in the order in which a plan can have them.
const (
	// Tidy removes a socket, its Arg, on which no process listens.
	Tidy Kind = "tidy"
	// EndStart ends the process that is starting the machine.
	EndStart Kind = "end start"
	// Stop has a machine that is well shut itself down. PowerOff presses the button of one
	// whose host agent cannot. Kill ends what is left of one.
	Stop     Kind = "stop"
	PowerOff Kind = "power off"
	Kill     Kind = "kill"
	// Fetch brings the image, from its Arg, onto this host.
	Fetch Kind = "fetch"
	// Delete removes the machine, RemoveTorn what there is of an unfinished one.
	Delete     Kind = "delete"
	RemoveTorn Kind = "remove torn"
	// DeleteDisk removes the data disk and all that is on it.
	DeleteDisk Kind = "delete disk"
	// RemoveFiles removes the directories around the machine.
	RemoveFiles Kind = "remove files"
	// RemoveTornDisk removes what there is of an unfinished data disk.
	RemoveTornDisk Kind = "remove torn disk"
	// CreateDisk, UnlockDisk and GrowDisk make the data disk ready; Arg is its size.
	CreateDisk Kind = "create disk"
	UnlockDisk Kind = "unlock disk"
	GrowDisk   Kind = "grow disk"
	// Create makes the machine, Configure gives it another configuration.
	Create    Kind = "create"
	Configure Kind = "configure"
	// Start starts the machine and waits for its agent; Wait only waits.
	Start Kind = "start"
	Wait  Kind = "wait"
)

// names is what each step is called where people see it. An Arg stands behind it.
var names = map[Kind]string{
	Tidy:           "removing a socket that an earlier run left",
	EndStart:       "ending a start that is under way",
	Stop:           "stopping the virtual machine",
	PowerOff:       "turning the virtual machine off",
	Kill:           "ending what is left of the virtual machine",
	Fetch:          "fetching the virtual machine's image",
	Delete:         "removing the virtual machine",
	RemoveTorn:     "removing a half-made instance",
	DeleteDisk:     "removing the data disk",
	RemoveFiles:    "removing the virtual machine's files",
	RemoveTornDisk: "removing a half-made data disk",
	CreateDisk:     "creating the data disk",
	UnlockDisk:     "unlocking the data disk",
	GrowDisk:       "growing the data disk",
	Create:         "creating the virtual machine",
	Configure:      "configuring the virtual machine",
	Start:          "starting the virtual machine",
	Wait:           "waiting for the virtual machine",
}

// Step is one thing to do.
type Step struct {
	Kind Kind
	// Arg is what it is done with, for people and for Tidy; often empty.
	Arg string
	// Cause is why: the rest of a sentence that begins with "because".
	Cause string
}

// Name says what the step does, as a gerund.
func (s Step) Name() string {
	if s.Arg == "" {
		return names[s.Kind]
	}
	return names[s.Kind] + " (" + s.Arg + ")"
}

// Plan is what has to be done, in this order.
type Plan struct {
	Steps []Step
	// Notes are what the user should know and nothing is done about.
	Notes []string
	// Refused, when set, is why nothing is done; there are no steps then.
	Refused *Refusal
}

// Empty reports whether nothing has to be done.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && p.Refused == nil }

// String is the plan as it is shown: a line for each step, with its cause, then the notes.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s: %s\n", s.Name(), s.Cause)
	}
	if p.Empty() {
		b.WriteString("nothing to do\n")
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if p.Refused != nil {
		fmt.Fprintf(&b, "refused: %s\nhint: %s\n", p.Refused.Reason, p.Refused.Fix)
	}
	return b.String()
}

// untilFetched are the steps up to the one that fetches the image; all, and false, when none does.
func (p Plan) untilFetched() (steps []Step, fetches bool) {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Kind == Fetch })
	return p.Steps[:cmp.Or(i+1, len(p.Steps))], i >= 0
}

func (p *Plan) add(kind Kind, arg, cause string) {
	p.Steps = append(p.Steps, Step{Kind: kind, Arg: arg, Cause: cause})
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// refuse keeps the first reason.
func (p *Plan) refuse(r *Refusal) {
	if p.Refused == nil {
		p.Refused = r
	}
}
