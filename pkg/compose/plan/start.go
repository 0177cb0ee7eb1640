package plan

import (
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// startAll starts what does not run of the chosen services, each after what it depends on.
func (p *planner) startAll() error {
	for _, name := range p.order {
		s := p.services[name]
		switch {
		case s.selected && s.scale > 0:
			p.startService(s)
		case p.Command == RunCommand && slices.Contains(p.Services, name) && !p.NoDeps:
			p.startAfter(s, func(need) bool { return true })
		}
	}
	if p.Wait {
		p.waitAll()
	}
	return nil
}

// startOnly is `start`, which makes nothing.
func (p *planner) startOnly() error {
	for _, name := range p.order {
		s := p.services[name]
		if !s.selected {
			continue
		}
		if len(s.units) == 0 && s.scale > 0 {
			return hint.With(fmt.Errorf("service %s has no container to start", name), "linnet compose up "+name)
		}
		if len(s.units) > 0 {
			s.scale = len(s.units)
			p.startService(s)
		}
	}
	if p.Wait {
		p.waitAll()
	}
	return nil
}

// startService starts the containers of a service that do not run. Its conditions are waited for also when all run.
func (p *planner) startService(s *service) {
	before := p.startAfter(s, func(need) bool { return true })
	var starts []*unit
	running := false
	for _, u := range s.units {
		switch {
		case p.runs(u):
			running = true
		case u.have != nil && u.create == 0 && u.have.Status == Paused && p.stopped[u.have.ID] == 0:
			s.ends = append(s.ends, p.plan.add(p.on(Unpause, s, u, "it is paused"), before...))
			running, s.started = true, true
		default:
			starts = append(starts, u)
		}
	}
	if len(starts) == 0 {
		s.ends = append(s.ends, before...)
		return
	}
	s.started = true
	var prepared []int
	for i := range s.PreStart {
		if running || s.PreStart[i].PerReplica {
			continue
		}
		step := p.on(Hook, s, starts[0], "before the first container starts")
		step.When, step.Index = PreStart, i
		prepared = []int{p.plan.add(step, slices.Concat(before, prepared, []int{starts[0].ready, p.images[s.PreStart[i].Image]})...)}
	}
	for _, u := range starts {
		s.ends = append(s.ends, p.startUnit(s, u, slices.Concat(before, prepared)))
	}
}

// startUnit starts a container, with its hooks, and returns the last step.
func (p *planner) startUnit(s *service, u *unit, after []int) int {
	after = append(after, u.ready)
	if u.have != nil && u.create == 0 {
		after = append(after, p.stopped[u.have.ID])
	}
	for i, hook := range s.PreStart {
		if hook.PerReplica {
			step := p.on(Hook, s, u, "before it starts")
			step.When, step.Index = PreStart, i
			after = append(after, p.plan.add(step, append(after, p.images[hook.Image])...))
		}
	}
	cause := "it is new"
	switch {
	case u.create > 0:
	case p.stopped[u.have.ID] > 0:
		cause = "it was stopped for that"
	default:
		cause = u.have.statusText()
	}
	return p.started(s, u, p.plan.add(p.on(Start, s, u, cause), after...))
}

// started runs the hooks of a container after its start, and returns the last step.
func (p *planner) started(s *service, u *unit, last int) int {
	for i := range s.PostStart {
		step := p.on(Hook, s, u, "it has started")
		step.When, step.Index = PostStart, i
		last = p.plan.add(step, last)
	}
	return last
}

// on is a step for a unit's container.
func (p *planner) on(kind Kind, s *service, u *unit, cause string) Step {
	step := Step{Kind: kind, Service: s.Name, Number: u.number, From: u.create, Name: p.containerName(s.ServiceConfig, u.number), Config: s.ServiceConfig, Cause: cause}
	if u.create == 0 {
		step.Container = u.have.ID
		if u.ready == 0 {
			step.Name = u.have.Name
		}
	}
	return step
}

// runs reports whether a unit's container runs, and is left to.
func (p *planner) runs(u *unit) bool {
	return u.create == 0 && (u.have.Status == Running || u.have.Status == Restarting) && p.stopped[u.have.ID] == 0
}

// startAfter plans the waiting for what a service depends on, and returns the steps that its start waits for.
func (p *planner) startAfter(s *service, count func(need) bool) (after []int) {
	for _, n := range s.needs {
		d := p.services[n.name]
		if d == nil || !d.selected || !count(n) {
			continue
		}
		if n.condition == types.ServiceConditionStarted || d.scale == 0 || !d.started && p.holds(d, n.condition) {
			after = append(after, d.ends...)
			continue
		}
		after = append(after, p.wait(d, n.condition, !n.required, fmt.Sprintf("%s depends on it: %s", s.Name, n.condition)))
	}
	return after
}

// wait plans the waiting for a condition of a service, once.
func (p *planner) wait(d *service, condition string, optional bool, cause string) int {
	key := fmt.Sprint(d.Name, condition, optional)
	if p.waits[key] == 0 {
		p.waits[key] = p.plan.add(Step{Kind: Wait, Service: d.Name, Condition: condition, Optional: optional, Timeout: nil, Cause: cause}, d.ends...)
	}
	return p.waits[key]
}

// holds reports whether each container of a service was seen in a condition.
func (p *planner) holds(s *service, condition string) bool {
	for _, u := range s.units {
		if u.have == nil {
			return false
		}
		c := u.have
		ok := c.Status == Running
		switch condition {
		case types.ServiceConditionHealthy:
			ok = ok && c.Health == Healthy
		case types.ServiceConditionCompletedSuccessfully:
			ok = c.Status == Exited && c.ExitCode == 0
		case RunningOrHealthy:
			ok = ok && (c.Health == Healthy || c.Health == "")
		}
		if !ok {
			return false
		}
	}
	return len(s.units) > 0
}

// waitAll is `up --wait`: what others wait for to complete has to, everything else has to run.
func (p *planner) waitAll() {
	for _, name := range p.order {
		s := p.services[name]
		condition := RunningOrHealthy
		for _, other := range p.services {
			if other.selected && slices.ContainsFunc(other.needs, func(n need) bool {
				return n.name == name && n.condition == types.ServiceConditionCompletedSuccessfully
			}) {
				condition = types.ServiceConditionCompletedSuccessfully
			}
		}
		if s.selected && s.scale > 0 && (s.started || !p.holds(s, condition)) {
			p.wait(s, condition, false, "--wait")
		}
	}
}

// restart restarts services, and those that are restarted with what they depend on.
func (p *planner) restart() {
	for _, name := range p.order {
		s := p.services[name]
		if !s.selected {
			continue
		}
		before := p.startAfter(s, func(n need) bool { return n.restart })
		cause := "it is named"
		switch {
		case len(p.Services) == 0:
			cause = "restart"
		case !s.named:
			cause = "what it depends on is restarted"
		}
		for _, u := range s.units {
			last := slices.Clone(before)
			if u.have.Status == Running {
				last = append(last, p.stopHooks(s, u.have, before...))
			}
			step := p.on(Restart, s, u, cause)
			step.Timeout = p.Timeout
			s.ends = append(s.ends, p.started(s, u, p.plan.add(step, last...)))
			s.started = true
		}
	}
}
