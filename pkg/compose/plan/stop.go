package plan

import (
	"maps"
	"slices"
	"strings"
)

// stopContainer stops a container that has a process, once, with its hooks before; 0 when there is nothing to stop. s is nil of an orphan.
func (p *planner) stopContainer(s *service, c *Container, cause string, after ...int) int {
	if id := p.stopped[c.ID]; id > 0 || !c.active() {
		return id
	}
	if s != nil && c.Status == Running {
		after = append(after, p.stopHooks(s, c, after...))
	}
	p.stopped[c.ID] = p.plan.add(Step{Kind: Stop, Service: c.Service, Number: c.Number, Container: c.ID, Name: c.Name, Timeout: p.Timeout, Cause: cause}, after...)
	return p.stopped[c.ID]
}

// stopHooks runs the hooks of a container before its stop, and returns the last step.
func (p *planner) stopHooks(s *service, c *Container, after ...int) (last int) {
	for i := range s.PreStop {
		last = p.plan.add(Step{
			Kind: Hook, Service: s.Name, Number: c.Number, Container: c.ID, Name: c.Name, Config: s.ServiceConfig, When: PreStop, Index: i, Cause: "it is to stop",
		}, after...)
		after = []int{last}
	}
	return last
}

// removeContainer stops a container that has a process, and removes it.
func (p *planner) removeContainer(s *service, c *Container, cause string, volumes bool, after ...int) int {
	stop := p.stopContainer(s, c, cause, after...)
	after = append(after, stop)
	for _, t := range p.taken[c.ID] {
		after = append(after, t.after...)
	}
	p.removed[c.ID] = p.plan.add(Step{Kind: Remove, Service: c.Service, Number: c.Number, Container: c.ID, Name: c.Name, Volumes: volumes, Cause: cause}, after...)
	return p.removed[c.ID]
}

// containers are those of a service that commands which end something take: one-off ones last.
func (s *service) containers(oneOffs bool) (all []*Container) {
	for _, u := range s.units {
		all = append(all, u.have)
		if u.next != nil {
			all = append(all, u.next)
		}
	}
	if oneOffs {
		all = append(all, s.oneOffs...)
	}
	return all
}

// backwards calls do for each service, those first that no other depends on. after are the last stops of what depends on it; do returns its own,
// and a service that has none passes on what it waits for.
func (p *planner) backwards(do func(s *service, after []int) []int) {
	ends := map[string][]int{}
	for _, name := range slices.Backward(p.order) {
		s := p.services[name]
		var after []int
		for _, other := range p.order {
			if slices.ContainsFunc(p.services[other].needs, func(n need) bool { return n.name == name }) {
				after = append(after, ends[other]...)
			}
		}
		if s.selected {
			ends[name] = slices.DeleteFunc(do(s, after), func(id int) bool { return id == 0 })
		}
		if len(ends[name]) == 0 {
			ends[name] = after
		}
	}
}

// stop stops what runs, dependents first.
func (p *planner) stop() {
	p.backwards(func(s *service, after []int) (stops []int) {
		for _, c := range s.containers(false) {
			stops = append(stops, p.stopContainer(s, c, string(p.Command), after...))
		}
		return stops
	})
}

func (p *planner) kill() {
	signal := p.Signal
	if signal == "" {
		signal = "SIGKILL"
	}
	kill := func(c *Container, cause string) {
		if c.active() {
			p.plan.add(Step{Kind: Kill, Service: c.Service, Number: c.Number, Container: c.ID, Name: c.Name, Signal: signal, Cause: cause})
		}
	}
	for _, name := range p.order {
		if s := p.services[name]; s.selected {
			for _, c := range s.containers(true) {
				kill(c, "kill")
			}
		}
	}
	for i := range p.state.Containers {
		if c := &p.state.Containers[i]; p.RemoveOrphans && len(p.Services) == 0 && p.services[c.Service] == nil {
			kill(c, "orphan")
		}
	}
}

func (p *planner) pause() {
	kind, from := Pause, Running
	if p.Command == UnpauseCommand {
		kind, from = Unpause, Paused
	}
	for _, name := range p.order {
		s := p.services[name]
		for _, c := range s.containers(false) {
			if s.selected && c.Status == from {
				p.plan.add(Step{Kind: kind, Service: s.Name, Number: c.Number, Container: c.ID, Name: c.Name, Cause: string(p.Command)})
			}
		}
	}
}

// remove is `rm`: it removes what does not run.
func (p *planner) remove() {
	if p.StopFirst {
		p.stop()
	}
	for _, name := range p.order {
		s := p.services[name]
		if !s.selected {
			continue
		}
		for _, c := range s.containers(false) {
			if !c.active() || p.StopFirst {
				p.removeContainer(s, c, "rm", p.Volumes)
			}
		}
	}
}

// down removes the containers, and then what no container uses any more.
func (p *planner) down() {
	removed := map[string]int{} // the steps that remove containers, by ID
	p.backwards(func(s *service, after []int) (stops []int) {
		for _, c := range s.containers(p.RemoveOrphans) {
			stop := p.stopContainer(s, c, "down", after...)
			stops = append(stops, stop)
			removed[c.ID] = p.plan.add(Step{Kind: Remove, Service: s.Name, Number: c.Number, Container: c.ID, Name: c.Name, Volumes: p.Volumes, Cause: "down"}, stop)
		}
		return stops
	})
	var all []int
	for i := range p.state.Containers {
		if c := &p.state.Containers[i]; p.RemoveOrphans && removed[c.ID] == 0 && p.orphan(c) {
			removed[c.ID] = p.removeContainer(nil, c, "orphan", false)
		}
	}
	all = slices.Sorted(maps.Values(removed))
	p.networksDown(removed)
	if p.Volumes {
		p.volumesDown(removed)
	}
	p.imagesDown(all)
}

// networksDown removes the project's networks that no container is on any more.
func (p *planner) networksDown(removed map[string]int) {
	declared := map[string]bool{}
	for _, key := range usedNetworks(p.reach()) {
		if n := p.Project.Networks[key]; !bool(n.External) {
			declared[n.Name] = true
		}
	}
	for _, n := range p.state.Networks {
		if n.Labels[ProjectLabel] != p.Project.Name || !declared[n.Name] && !p.all() {
			continue
		}
		after, users := p.users(removed, func(c *Container) bool { return c.on(n) })
		if n.Others {
			users = append(users, "containers of other projects")
		}
		if len(users) > 0 {
			p.plan.note("network %s stays, in use by %s", n.Name, strings.Join(users, ", "))
			continue
		}
		p.plan.add(Step{Kind: RemoveNetwork, Key: n.Key, Name: n.Name, Cause: "down"}, after...)
	}
}

// all reports whether everything that has the project's label goes, whether or not the project still has it.
func (p *planner) all() bool { return p.fileless || p.RemoveOrphans && len(p.Services) == 0 }

// reach are the chosen services and what they depend on.
func (p *planner) reach() (all []*service) {
	reached := map[string]bool{}
	for _, name := range slices.Backward(p.order) {
		s := p.services[name]
		if !s.selected && !reached[name] {
			continue
		}
		all = append(all, s)
		for _, n := range s.needs {
			reached[n.name] = true
		}
	}
	return slices.DeleteFunc(all, func(s *service) bool { return s == nil })
}

// users finds the containers that use something: the steps that remove them, and the names of those that stay.
func (p *planner) users(removed map[string]int, uses func(*Container) bool) (after []int, stay []string) {
	for i := range p.state.Containers {
		c := &p.state.Containers[i]
		switch id := removed[c.ID]; {
		case !uses(c):
		case id > 0:
			after = append(after, id)
		default:
			stay = append(stay, c.Name)
		}
	}
	return after, stay
}

// volumesDown removes the project's named volumes that no container uses any more.
func (p *planner) volumesDown(removed map[string]int) {
	declared := map[string]bool{}
	for _, key := range usedVolumes(p.reach()) {
		if v := p.Project.Volumes[key]; !bool(v.External) {
			declared[v.Name] = true
		}
	}
	for _, v := range p.state.Volumes {
		if v.Labels[ProjectLabel] != p.Project.Name || !declared[v.Name] && !p.all() {
			continue
		}
		after, users := p.users(removed, func(c *Container) bool { return c.mounts(v.Name) })
		if v.Others {
			users = append(users, "containers of other projects")
		}
		if len(users) > 0 {
			p.plan.note("volume %s stays, in use by %s", v.Name, strings.Join(users, ", "))
			continue
		}
		p.plan.add(Step{Kind: RemoveVolume, Key: v.Key, Name: v.Name, Cause: "down"}, after...)
	}
}

// imagesDown is `down --rmi`.
func (p *planner) imagesDown(after []int) {
	if p.Images == "" {
		return
	}
	names := map[string]string{}
	for _, name := range p.order {
		s := p.services[name]
		if image := p.imageName(s.ServiceConfig); s.Image == "" || p.Images == "all" {
			names[image] = s.Name
		}
	}
	for name, image := range p.state.Images {
		if image.Service != "" && (p.services[image.Service] != nil || p.RemoveOrphans) {
			names[name] = image.Service
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, there := p.state.Images[name]; there {
			p.plan.add(Step{Kind: RemoveImage, Service: names[name], Name: name, Optional: true, Cause: "--rmi " + p.Images}, after...)
		}
	}
}
