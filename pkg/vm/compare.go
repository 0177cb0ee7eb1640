package vm

import "fmt"

// Compare says what has to be done so that what is there becomes what is wanted. It never
// ends a machine that runs because of a setting: such a change is a note. For the goals that
// only end or remove, want may be empty.
func Compare(want Spec, have State, goal Goal) Plan {
	c := comparison{want: want, have: have}
	switch goal {
	case Started:
		c.start()
	case Initialised:
		c.initialise()
	case Stopped:
		c.stop()
		c.tidy()
	case Fetched:
		c.fetch()
	case Restarted:
		c.fetch() // while it runs
		c.stop()
		c.have = stopped(c.have)
		c.start()
	case Removed:
		c.remove()
		c.tidy()
	case RemovedWithData:
		c.remove()
		c.removeData()
	}
	if len(c.plan.Steps) > 0 && have.Tool != nil {
		c.plan.Refused = have.Tool
	}
	if c.plan.Refused != nil {
		c.plan.Steps, c.plan.Notes = nil, nil
	}
	return c.plan
}

// comparison is a plan being made.
type comparison struct {
	want Spec
	have State
	plan Plan
}

// stopped is what is there after a stop.
func stopped(s State) State {
	switch s.Status {
	case Starting, Running, Orphaned, HostAgentOnly:
		s.Status, s.DiskUser = Halted, ""
	case Incomplete:
		if s.Live {
			s.Status = Absent
		}
	}
	s.Answers, s.Live = false, false
	return s
}

func (c *comparison) start() {
	switch c.have.Status {
	case Running, Starting:
		c.await()
		return
	case Orphaned:
		if c.have.Answers {
			c.plan.note("the virtual machine's host agent has ended: containers may not find other hosts by name; `linnet engine restart` mends it, and ends them")
			c.later()
			return
		}
		c.plan.add(Kill, "", "its host agent has ended, and its agent does not answer")
		c.have = stopped(c.have)
	case HostAgentOnly:
		c.plan.add(Kill, "", "only its host agent is left")
		c.have = stopped(c.have)
	case Incomplete:
		if c.have.Answers {
			c.plan.note("the virtual machine's files are damaged: it is made anew at its next start; images, containers and volumes stay")
			return
		}
	}
	c.tidy()
	c.prepare()
	c.plan.refuse(c.have.Host)
	cause := "it is new"
	if c.have.Status == Halted {
		cause = "it is stopped"
	}
	c.plan.add(Start, "", cause)
}

// await is for a machine that is on its way, or there.
func (c *comparison) await() {
	switch {
	case c.have.Answers:
	case c.have.Status == Starting:
		c.plan.add(Wait, "", "it is being started")
	default:
		c.plan.add(Wait, "", "it runs, and its agent does not answer")
	}
	c.later()
}

// later notes what changes at the next start of a machine that runs.
func (c *comparison) later() {
	changes := c.have.Shape.changes(c.want.Shape)
	for _, change := range changes {
		c.plan.note("%s at the next start", change)
	}
	if len(changes) == 0 && c.have.Config != c.want.Config {
		c.plan.note("the virtual machine's configuration changes at the next start")
	}
	if c.have.Disk != Disk || c.have.DiskSize == 0 {
		return // or it could not be found out
	}
	if c.have.DiskSize < c.want.DataDisk {
		c.plan.note("the data disk grows from %s to %s at the next start", Bytes(c.have.DiskSize), Bytes(c.want.DataDisk))
	}
	if c.have.DiskSize > c.want.DataDisk {
		c.plan.note("the next start will be refused: %s", shrink(c.have.DiskSize, c.want.DataDisk).Reason)
	}
}

func (c *comparison) initialise() {
	switch c.have.Status {
	case Absent, Halted:
		c.prepare()
	case Incomplete:
		if !c.have.Answers {
			c.prepare()
		}
	default:
		c.later()
	}
}

// prepare makes a whole machine, as it is wanted, of one that does not run or is not there.
func (c *comparison) prepare() {
	c.fetch() // before anything is removed
	switch c.have.Status {
	case Incomplete:
		c.plan.add(RemoveTorn, "", "it was not finished, or lost its configuration")
		c.have.Status = Absent
	case Halted:
		if why := c.have.Shape.another(c.want.Shape); why != "" {
			c.plan.add(Delete, "", why+"; the data disk stays")
			c.have.Status = Absent
		}
	}
	c.disk()
	if c.have.Status == Absent {
		c.plan.add(Create, "", "there is none")
		return
	}
	if c.have.Config != c.want.Config {
		changes := c.have.Shape.changes(c.want.Shape)
		if len(changes) == 0 {
			changes = []string{"this version of linnet writes it differently"}
		}
		for i, change := range changes {
			if i == 0 {
				c.plan.add(Configure, "", change)
			} else {
				c.plan.Steps[len(c.plan.Steps)-1].Cause += ", " + change
			}
		}
	}
}

// fetch brings the image here, once.
func (c *comparison) fetch() {
	c.plan.refuse(c.have.Image)
	if c.have.ImageFrom != "" {
		c.plan.add(Fetch, c.have.ImageFrom, "it is not on this host")
		c.have.ImageFrom = ""
	}
}

// disk makes the data disk ready for a machine that does not run.
func (c *comparison) disk() {
	size := Bytes(c.want.DataDisk)
	switch c.have.Disk {
	case BrokenDisk:
		c.plan.refuse(&Refusal{
			Reason: "the data disk cannot be read: " + c.have.DiskError,
			Fix:    "restore it; or `linnet vm rm --data`, which removes all that is on it",
		})
	case TornDisk:
		c.plan.add(RemoveTornDisk, "", "it was not finished")
		c.plan.add(CreateDisk, size, "there is none")
	case NoDisk:
		c.plan.add(CreateDisk, size, "there is none")
	case Disk:
		if c.have.DiskUser != "" {
			c.plan.add(UnlockDisk, "", "a virtual machine that has ended left it locked")
		}
		if c.have.DiskSize < c.want.DataDisk {
			c.plan.add(GrowDisk, size, "it has "+Bytes(c.have.DiskSize))
		}
		if c.have.DiskSize > c.want.DataDisk {
			c.plan.refuse(shrink(c.have.DiskSize, c.want.DataDisk))
		}
	}
}

func shrink(has, wanted int64) *Refusal {
	return &Refusal{
		Reason: fmt.Sprintf("vm.disk is %s, and the data disk has %s: it can grow, and not shrink", Bytes(wanted), Bytes(has)),
		Fix:    fmt.Sprintf("set vm.disk to %s; or `linnet vm rm --data`, which removes all that is on it", Bytes(has)),
	}
}

func (c *comparison) stop() {
	switch c.have.Status {
	case Starting:
		c.plan.add(EndStart, "", "it is not to run")
		c.plan.add(PowerOff, "", "it is coming up")
	case Running:
		c.plan.add(Stop, "", "it runs")
	case Orphaned:
		c.plan.add(PowerOff, "", "it runs, and its host agent, which would shut it down, has ended")
	case HostAgentOnly:
		c.plan.add(Kill, "", "only its host agent is left")
	case Incomplete:
		if c.have.Live {
			c.plan.add(RemoveTorn, "", "it runs, and its configuration is lost")
		}
	}
}

func (c *comparison) remove() {
	switch c.have.Status {
	case Absent:
	case Incomplete:
		c.plan.add(RemoveTorn, "", "it is not wanted any more")
	default:
		c.stop()
		c.plan.add(Delete, "", "it is not wanted any more")
	}
}

func (c *comparison) removeData() {
	switch c.have.Disk {
	case NoDisk:
	case TornDisk:
		c.plan.add(RemoveTornDisk, "", "it is not wanted any more")
	default:
		c.plan.add(DeleteDisk, "", "it is not wanted any more")
	}
	if c.have.Files || len(c.plan.Steps) > 0 {
		c.plan.add(RemoveFiles, "", "they are not wanted any more")
	}
}

// tidy removes the sockets that no process listens on; where the machine runs they are the
// relay's affair.
func (c *comparison) tidy() {
	for _, path := range c.have.Leftovers {
		c.plan.add(Tidy, path, "no process listens on it")
	}
}
