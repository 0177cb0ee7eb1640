// Package vm decides what has to be done to a virtual machine, and has it done: what is
// wanted (Spec) and what is there (State) are compared (Compare) into a Plan of named steps,
// each with its cause, which Ensure executes through a Machine.
//
// It exists so that every path from what may be found on a host, half-made and broken things
// included, to what a user asked for is one pure function with golden files. It must not know
// how a machine is observed or changed, nor what runs in it.
package vm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Goal is how a virtual machine is to be in the end.
type Goal string

// The goals.
const (
	// Started is running, with an agent that answers.
	Started Goal = "started"
	// Stopped is not running, if it is there at all.
	Stopped Goal = "stopped"
	// Restarted is Stopped, and then Started.
	Restarted Goal = "restarted"
	// Fetched is with the image that it would be made from on this host; nothing else changes.
	Fetched Goal = "fetched"
	// Initialised is there, and as wanted when it is not running; it is not started.
	Initialised Goal = "initialised"
	// Removed is not there any more; the data disk is.
	Removed Goal = "removed"
	// RemovedWithData leaves nothing.
	RemovedWithData Goal = "removed with its data"
)

// Spec is what is wanted.
type Spec struct {
	Shape
	// DataDisk is the size of the data disk in bytes.
	DataDisk int64
	// Config is the machine's whole configuration as text, which Shape sums up.
	Config string
}

// Shape is what of a machine can be wanted in another way than it is. It is kept with the
// machine, as JSON, so that a difference can be told by its name.
type Shape struct {
	// Image is the key of the image that the machine is made from, Arch and Type the
	// machine's kind: another one of them needs another machine.
	Image string `json:"image"`
	Arch  string `json:"arch"`
	Type  string `json:"type"`

	CPUs      int      `json:"cpus"`
	Memory    int64    `json:"memory"` // bytes
	Mounts    []string `json:"mounts"`
	MountType string   `json:"mountType"`
	// Viewed says that the machine's processes have a view of their own of what they share.
	Viewed      bool   `json:"viewed,omitempty"`
	Accelerator string `json:"accelerator"`
	Rosetta     bool   `json:"rosetta,omitempty"`
	// Engine is a digest of the engine's specification.
	Engine string `json:"engine,omitempty"`
}

// Status is what is there.
type Status string

// The statuses.
const (
	// Absent is no machine.
	Absent Status = "absent"
	// Incomplete is a machine that was not finished, or whose configuration was lost.
	Incomplete Status = "torn"
	// Halted is a whole machine that does not run.
	Halted Status = "stopped"
	// Starting is one that a process is starting right now.
	Starting Status = "starting"
	// Running is one that runs with its host agent.
	Running Status = "running"
	// Orphaned runs, and its host agent has ended.
	Orphaned Status = "orphaned"
	// HostAgentOnly is a host agent whose machine has ended.
	HostAgentOnly Status = "hollow"
)

// DiskStatus is how the data disk is.
type DiskStatus string

// The statuses of the data disk.
const (
	// NoDisk is none.
	NoDisk DiskStatus = "none"
	// TornDisk is a directory for one, with no disk in it.
	TornDisk DiskStatus = "torn"
	// BrokenDisk is one that cannot be read.
	BrokenDisk DiskStatus = "broken"
	// Disk is a disk.
	Disk DiskStatus = "there"
)

// State is what was observed.
type State struct {
	// Tool says why nothing can be done at all, Host why no machine can run here, Image why
	// none can be made; nil where that is not so.
	Tool, Host, Image *Refusal
	// ImageFrom is where the image can be fetched from that is wanted and not on this host; empty when it is there.
	ImageFrom string

	Status Status
	// Live says that a torn machine still has processes.
	Live bool
	// Answers says that the machine's agent answers.
	Answers bool
	// Shape and Config are what the machine was configured with.
	Shape  Shape
	Config string

	Disk DiskStatus
	// DiskSize is in bytes; DiskUser names who has locked the disk, empty when no process has;
	// DiskError is why a broken one cannot be read.
	DiskSize  int64
	DiskUser  string
	DiskError string

	// Leftovers are sockets of ours on which no process listens.
	Leftovers []string
	// Files says that there is something in the directories around the machine.
	Files bool
}

// Refusal is why something is not done, with what to do about it.
type Refusal struct{ Reason, Fix string }

func (r *Refusal) Error() string { return r.Reason }

// Hint is what to do about it.
func (r *Refusal) Hint() string { return r.Fix }

// marker begins the line of a configuration in which its Shape stands.
const marker = "# linnet: "

// Header is the line that keeps a shape in a configuration.
func (s Shape) Header() string {
	text, err := json.Marshal(s)
	if err != nil {
		text = []byte("{}") // texts and numbers alone: it cannot fail
	}
	return marker + string(text) + "\n"
}

// ParseShape finds the header in a configuration; false when it has none.
func ParseShape(config string) (s Shape, ok bool) {
	for line := range strings.Lines(config) {
		if text, found := strings.CutPrefix(line, marker); found {
			return s, json.Unmarshal([]byte(text), &s) == nil && s.Image != ""
		}
	}
	return s, false
}

// Draft is a configuration without its header: what a machine has until it is finished.
func Draft(config string) string {
	var kept strings.Builder
	for line := range strings.Lines(config) {
		if !strings.HasPrefix(line, marker) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// changes names each difference between how a machine is and how it is wanted.
func (s Shape) changes(want Shape) []string {
	var all []string
	tell := func(name, old, wanted string) {
		if old != wanted {
			all = append(all, fmt.Sprintf("%s changes from %s to %s", name, old, wanted))
		}
	}
	if s.Image != want.Image {
		all = append(all, "the image changes")
	}
	tell("the architecture", s.Arch, want.Arch)
	tell("the kind of machine", s.Type, want.Type)
	tell("vm.cpus", strconv.Itoa(s.CPUs), strconv.Itoa(want.CPUs))
	tell("vm.memory", Bytes(s.Memory), Bytes(want.Memory))
	if !slices.Equal(s.Mounts, want.Mounts) {
		all = append(all, "vm.mounts changes")
	}
	tell("vm.mountType", s.MountType, want.MountType)
	tell("vm.accelerator", s.Accelerator, want.Accelerator)
	tell("vm.rosetta", onOff(s.Rosetta), onOff(want.Rosetta))
	if s.Engine != want.Engine {
		all = append(all, "the engine's settings change")
	}
	return all
}

// another says why a machine of shape s cannot become one of shape want, and is replaced;
// empty when it can.
func (s Shape) another(want Shape) string {
	switch {
	case s.Arch != want.Arch || s.Type != want.Type:
		return fmt.Sprintf("it is a machine of another kind (%s %s)", s.Type, s.Arch)
	case s.Image != want.Image:
		return "it was made from another image"
	}
	return ""
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// Bytes writes a number of bytes in the largest unit that needs no fraction.
func Bytes(n int64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := int64(1) << (40 - 10*i); n != 0 && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
