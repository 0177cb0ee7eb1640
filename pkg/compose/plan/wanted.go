package plan

import (
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Command is what of compose's commands is planned for.
type Command string

// The commands that have a plan.
const (
	UpCommand      Command = "up"
	CreateCommand  Command = "create"
	ScaleCommand   Command = "scale"
	RunCommand     Command = "run"
	StartCommand   Command = "start"
	RestartCommand Command = "restart"
	StopCommand    Command = "stop"
	KillCommand    Command = "kill"
	RemoveCommand  Command = "rm"
	DownCommand    Command = "down"
	PauseCommand   Command = "pause"
	UnpauseCommand Command = "unpause"
)

// Policy is when a container is made anew.
type Policy string

// The policies.
const (
	// Changed makes anew what differs from what is wanted; Always every container, Never none.
	Changed Policy = ""
	Always  Policy = "always"
	Never   Policy = "never"
)

// Wanted is a project and what one command wants of it.
type Wanted struct {
	Command Command
	// Project is loaded, with the environment of its services resolved, and not changed. nil says that there is no file: then the
	// labels of what is there say what the project is; only commands that make nothing can do with that.
	Project *types.Project
	// Name is the project's where Project is nil.
	Name string
	// Services are those named on the line; none means all that an active profile has. Naming a service enables its profiles.
	Services []string
	// NoDeps leaves out what the named services depend on.
	NoDeps bool

	// Recreate is for the named services, all when none is named; AlwaysRecreateDeps is for what they depend on.
	Recreate           Policy
	AlwaysRecreateDeps bool
	// RenewVolumes gives containers that are made anew new anonymous volumes.
	RenewVolumes bool
	// RecreateVolumes are the keys of changed volumes whose data may be lost: answers to Plan.Questions.
	RecreateVolumes []string
	// Scale is how many containers services have, over what the project says.
	Scale map[string]int
	// RemoveOrphans removes containers of services that the project does not have; IgnoreOrphans does not mention them.
	RemoveOrphans, IgnoreOrphans bool
	// NoStart is `up --no-start`; Wait is `up --wait`.
	NoStart, Wait bool

	// Pull is over the services' pull policies: always, missing, never, build; empty leaves them.
	Pull string
	// Build builds every image that can be built, NoBuild none.
	Build, NoBuild bool
	// ImagesReady says that an earlier plan's images have been brought.
	ImagesReady bool
	// Now is the time that an image's age is measured to.
	Now time.Time

	// Timeout is over the containers' own time to stop.
	Timeout *time.Duration
	// Signal is what kill sends; empty is SIGKILL.
	Signal string
	// StopFirst is `rm --stop`.
	StopFirst bool
	// Volumes removes anonymous volumes (rm), and the project's as well (down).
	Volumes bool
	// Images is `down --rmi`: "local" removes images that were built without a name of their own, "all" every service's.
	Images string

	// Separator stands between the parts of containers' names: "-", which the empty one means, or "_".
	Separator string
}

// makes reports whether the command creates what is missing.
func (c Command) makes() bool {
	return c == UpCommand || c == CreateCommand || c == ScaleCommand || c == RunCommand
}

// withDependencies reports whether a command that names services takes what these depend on as well.
func (c Command) withDependencies() bool { return c.makes() || c == StartCommand }
