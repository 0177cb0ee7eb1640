// Package plan decides what has to be done to a project's containers, networks, volumes and images: what is wanted
// (Wanted, one command and a loaded project) and what is there (State) are compared (Make) into a Plan of steps, each with
// its cause and with the steps that it waits for.
//
// It is pure: it knows compose-go's types, and no engine, no command line and no guest. An executor decides
// nothing. No step's text has a value of an environment, a secret or a config in it.
package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Kind is what a step does.
type Kind string

// The kinds of steps. What is said to a container names it by Service, Number, Name, and Container or From.
const (
	// Pull brings the image Name, for Service; Build builds it.
	Pull  Kind = "pull"
	Build Kind = "build"
	// RemoveImage removes the image Name.
	RemoveImage Kind = "remove image"

	// CreateNetwork makes the network Name of Key as NetworkConfig says, with Labels; RemoveNetwork removes it.
	CreateNetwork Kind = "create network"
	RemoveNetwork Kind = "remove network"
	// Connect connects a container that does not run to Endpoints, each in the place of one in a network of that name that is gone;
	// Disconnect takes it off those of Endpoints.
	Connect    Kind = "connect"
	Disconnect Kind = "disconnect"

	// CreateVolume makes the volume Name of Key as VolumeConfig says, with Labels; RemoveVolume removes it.
	CreateVolume Kind = "create volume"
	RemoveVolume Kind = "remove volume"

	// Create makes the container Name as Config says, with Labels, Endpoints, Shares and Inherit.
	Create Kind = "create"
	// Start starts a container of Config, Stop stops it within Timeout, Kill sends it Signal, Restart stops and starts it.
	Start   Kind = "start"
	Stop    Kind = "stop"
	Kill    Kind = "kill"
	Restart Kind = "restart"
	Pause   Kind = "pause"
	Unpause Kind = "unpause"
	// Remove removes a container that does not run; with Volumes its anonymous volumes as well.
	Remove Kind = "remove"
	// Rename gives a container the Name that it is to keep.
	Rename Kind = "rename"
	// Wait waits until each container of Service has come to Condition.
	Wait Kind = "wait"
	// Hook runs the hook Index of Config's hooks of When for a container: within it, or, for PreStart, as a container of its own.
	Hook Kind = "hook"
)

// HookTime is when a hook runs.
type HookTime string

// The times of hooks.
const (
	PreStart  HookTime = "pre_start"
	PostStart HookTime = "post_start"
	PreStop   HookTime = "pre_stop"
)

// RunningOrHealthy is the condition of `up --wait`: healthy where there is a check, running where there is none.
const RunningOrHealthy = "running_or_healthy"

// Endpoint is a container's place in a network.
type Endpoint struct {
	// Key is the network's in the project; empty in a State.
	Key string
	// Network is its name, ID the engine's identity of it; an ID may be empty, which is equal to every other.
	Network, ID string
	// Aliases are the names that the container has there, the container's own among them.
	Aliases []string
	// Config is what the service says of the network; nil when nothing, and in a State.
	Config *types.ServiceNetworkConfig
}

// Share is a container of another service whose namespace or volumes a container uses.
type Share struct {
	// What is "network", "ipc", "pid", "uts", "cgroup", "volumes" or "link".
	What string
	// Service is whose container it is, Container its ID, where it is there already, and From otherwise the step that makes it.
	Service   string
	Container string
	From      int
	// As is what the other is called in a link, and "ro" or "rw" of volumes.
	As string
}

// Step is one thing to do.
type Step struct {
	// ID is the step's number in its plan, from 1; After are those of the steps that have to be done before, all smaller.
	ID    int
	Kind  Kind
	Cause string
	After []int

	// Service and Number say which container it is; Number is 0 of what has none. Container is its ID where it is there
	// already; From is the step that makes it where it is not.
	Service   string
	Number    int
	Container string
	From      int

	// Name is the name of a container, network, volume or image; Key is a network's or volume's in the project.
	Name, Key string

	Config        *types.ServiceConfig
	NetworkConfig *types.NetworkConfig
	VolumeConfig  *types.VolumeConfig
	Labels        map[string]string
	Endpoints     []Endpoint
	Shares        []Share
	// Inherit are the anonymous volumes that a new container takes over.
	Inherit []Mount
	// Replaces is the ID of the container whose place a new one takes.
	Replaces string

	// TryPull says of a Build that the image is pulled, if its registry has it.
	TryPull bool
	// Condition is one of compose-go's, or RunningOrHealthy.
	Condition string
	// Optional says that a failure is told of and no more: what waits for the step is done all the same.
	Optional bool
	// Timeout is how long a container may take to stop; nil is the container's own, ten seconds where it has none.
	Timeout *time.Duration
	Signal  string
	Volumes bool
	When    HookTime
	Index   int
}

// Question is what a user has to agree to before it is planned.
type Question struct {
	// Volume is the key that Wanted.Recreate takes when it is agreed to.
	Volume string
	Text   string
}

// Plan is what has to be done. Steps stand in an order in which they can be done one after the other; those that do not wait
// for each other can be done at once.
type Plan struct {
	Steps []Step
	// Notes are what the user should know and nothing is done about.
	Notes []string
	// Questions are what is not planned because it loses data.
	Questions []Question
	// Refused, when set, is why nothing is done; there are no steps then.
	Refused error
}

// Empty reports whether nothing has to be done.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && p.Refused == nil }

// Images is the part of the plan that brings images. What else there is to do depends on them: after these steps the project is observed
// again, and the rest is a new plan, with Wanted.ImagesReady.
func (p Plan) Images() Plan {
	images := slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Kind != Pull && s.Kind != Build })
	return Plan{Steps: images}
}

// String is the plan as it is shown: a line for each step, with the steps that it waits for and its cause, then notes.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%d. %s", s.ID, s.Text())
		if len(s.After) > 0 {
			after := make([]string, len(s.After))
			for i, id := range s.After {
				after[i] = strconv.Itoa(id)
			}
			fmt.Fprintf(&b, " after %s", strings.Join(after, ", "))
		}
		fmt.Fprintf(&b, ": %s\n", s.Cause)
	}
	if p.Empty() {
		b.WriteString("nothing to do\n")
	}
	for _, q := range p.Questions {
		fmt.Fprintf(&b, "question: %s\n", q.Text)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if p.Refused != nil {
		fmt.Fprintf(&b, "refused: %s\n", p.Refused)
		if fix := hint.Of(p.Refused); fix != "" {
			fmt.Fprintf(&b, "hint: %s\n", fix)
		}
	}
	return b.String()
}

// Text says what the step does, without its cause.
func (s Step) Text() string {
	switch s.Kind {
	case Build:
		if s.TryPull {
			return "pull or build " + s.Name
		}
	case Create:
		return "create " + s.Name + s.createText()
	case Wait:
		text := fmt.Sprintf("wait for %s to be %s", s.Service, conditionText(s.Condition))
		if s.Optional {
			text += " (optional)"
		}
		return text
	case Hook:
		return fmt.Sprintf("run %s hook %d of %s", s.When, s.Index+1, s.Name)
	case Connect, Disconnect:
		return s.connectText()
	case Remove:
		if s.Volumes {
			return "remove " + s.Name + " with its anonymous volumes"
		}
	case Rename:
		return fmt.Sprintf("rename the new container of %s to %s", s.Service, s.Name)
	case Kill:
		return fmt.Sprintf("kill %s with %s", s.Name, s.Signal)
	}
	return string(s.Kind) + " " + s.Name
}

func (s Step) createText() string {
	text := ""
	for _, e := range s.Endpoints {
		text += " on " + e.Network
	}
	for _, share := range s.Shares {
		if share.What == "link" {
			text += " with a link to " + share.Service
			continue
		}
		text += fmt.Sprintf(" with the %s of %s", shareText(share.What), share.Service)
	}
	if len(s.Inherit) > 0 {
		text += fmt.Sprintf(" with %d anonymous volumes of the old one", len(s.Inherit))
	}
	return text
}

func (s Step) connectText() string {
	names := make([]string, len(s.Endpoints))
	for i, e := range s.Endpoints {
		names[i] = e.Network
	}
	if s.Kind == Disconnect {
		return fmt.Sprintf("disconnect %s from %s", s.Name, strings.Join(names, ", "))
	}
	return fmt.Sprintf("connect %s to %s", s.Name, strings.Join(names, ", "))
}

func shareText(what string) string {
	if what == "volumes" {
		return what
	}
	return what + " namespace"
}

func conditionText(condition string) string {
	switch condition {
	case types.ServiceConditionHealthy:
		return "healthy"
	case types.ServiceConditionCompletedSuccessfully:
		return "completed"
	case RunningOrHealthy:
		return "running or healthy"
	}
	return "started"
}

// add appends a step that waits for others, zeros and doubles left out, and returns its ID.
func (p *Plan) add(s Step, after ...int) int {
	s.ID = len(p.Steps) + 1
	after = slices.DeleteFunc(slices.Clone(after), func(id int) bool { return id == 0 })
	slices.Sort(after)
	s.After = slices.Compact(after)
	p.Steps = append(p.Steps, s)
	return s.ID
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}
