package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// convergeNetworks makes the networks that are missing, and makes anew those that differ. Networks have no data: containers are stopped,
// taken off the old one and connected to the new one.
func (p *planner) convergeNetworks(used []*service) {
	for _, key := range usedNetworks(used) {
		n, ok := p.Project.Networks[key]
		if !ok || bool(n.External) {
			continue
		}
		p.convergeNetwork(key, &n)
	}
}

func (p *planner) convergeNetwork(key string, n *types.NetworkConfig) {
	have, old := p.networksOf(key, n.Name)
	changed := have != nil && have.Hash != "" && have.Hash != NetworkHash(n)
	if changed {
		if users := p.otherUsers(*have); users != "" {
			p.plan.note("network %s has changed, and stays as it is, in use by %s", n.Name, users)
			return
		}
	}
	var off []int
	taken := map[string][]int{} // containers that are taken off a network, and the steps that do it
	leave := func(from Network, cause string) {
		for _, m := range p.attached(from) {
			for _, c := range m.all {
				stop := p.stopContainer(nil, c, cause)
				id := p.plan.add(Step{Kind: Disconnect, Service: m.Name, Number: c.Number, Container: c.ID, Name: c.Name, Endpoints: []Endpoint{{Key: key, Network: from.Name}}, Cause: cause}, stop)
				off = append(off, id)
				taken[c.ID] = append(taken[c.ID], id)
			}
		}
	}
	var made []int
	if changed {
		leave(*have, "the network "+key+" has changed")
		made = []int{p.plan.add(Step{Kind: RemoveNetwork, Key: key, Name: n.Name, Cause: "configuration changed"}, append(off, p.orphansOn(*have)...)...)}
	}
	switch {
	case changed:
		p.createNetwork(key, n, "configuration changed", made...)
	case have == nil && len(old) > 0:
		p.createNetwork(key, n, "its name has changed")
	case have == nil:
		p.createNetwork(key, n, "there is none")
	}
	for _, network := range old {
		off = nil
		leave(network, "the network "+key+" has another name")
		if users := p.otherUsers(network); users != "" {
			p.plan.note("network %s has another name now, and stays, in use by %s", network.Name, users)
			continue
		}
		p.plan.add(Step{Kind: RemoveNetwork, Key: key, Name: network.Name, Optional: true, Cause: "its name has changed"}, append(off, p.orphansOn(network)...)...)
	}
	for id, after := range taken { // a container that is kept is connected again
		p.taken[id] = append(p.taken[id], connection{key, append(after, p.networks[key])})
	}
}

// networksOf are the network of the wanted name, and those of other names that the project made for the key.
func (p *planner) networksOf(key, name string) (have *Network, old []Network) {
	for i, n := range p.state.Networks {
		switch {
		case n.Name == name:
			have = &p.state.Networks[i]
		case n.Key == key && n.Labels[ProjectLabel] == p.Project.Name:
			old = append(old, n)
		}
	}
	slices.SortFunc(old, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return have, old
}

func (p *planner) createNetwork(key string, n *types.NetworkConfig, cause string, after ...int) {
	labels := map[string]string{ProjectLabel: p.Project.Name, NetworkLabel: key, HashLabel: NetworkHash(n)}
	maps.Copy(labels, n.Labels)
	p.networks[key] = p.plan.add(Step{Kind: CreateNetwork, Key: key, Name: n.Name, NetworkConfig: n, Labels: labels, Cause: cause}, after...)
}

// otherUsers says who is on a network besides the containers of the chosen services; empty when none is.
func (p *planner) otherUsers(n Network) string {
	if n.Others {
		return "containers of other projects"
	}
	var names []string
	for i := range p.state.Containers {
		c := &p.state.Containers[i]
		if s := p.services[c.Service]; p.removed[c.ID] == 0 && c.on(n) && (s == nil || !s.selected || c.OneOff) {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ", ")
}

// orphansOn are the steps that remove orphans from a network.
func (p *planner) orphansOn(n Network) (steps []int) {
	for i := range p.state.Containers {
		if c := &p.state.Containers[i]; c.on(n) {
			steps = append(steps, p.removed[c.ID])
		}
	}
	return steps
}

// members are containers of a service.
type members struct {
	*service
	all []*Container
}

// attached are the containers of the chosen services that are on a network.
func (p *planner) attached(n Network) (all []members) {
	for _, name := range p.order {
		s := p.services[name]
		if !s.selected {
			continue
		}
		m := members{service: s}
		for _, u := range s.units {
			for _, c := range []*Container{u.have, u.next} {
				if c != nil && c.on(n) {
					m.all = append(m.all, c)
				}
			}
		}
		if len(m.all) > 0 {
			all = append(all, m)
		}
	}
	return all
}

// connection is a network that a container is to be connected to, after steps.
type connection struct {
	key   string
	after []int
}

// connectMissing connects a container that is kept, and does not run, to the networks of its service that it is not on.
func (p *planner) connectMissing(s *service, u *unit) {
	c := u.have
	var endpoints []Endpoint
	var after []int
	cause := "it is not connected to it"
	for _, e := range p.endpoints(s.ServiceConfig, c.Number) {
		i := slices.IndexFunc(p.taken[c.ID], func(t connection) bool { return t.key == e.Key })
		switch {
		case i >= 0:
			after = append(after, p.taken[c.ID][i].after...)
			cause = "the network " + e.Key + " is made anew"
		case p.isOn(c, e):
			continue
		}
		endpoints, after = append(endpoints, e), append(after, p.networks[e.Key])
	}
	if len(endpoints) == 0 {
		return
	}
	after = append(after, p.stopped[c.ID], u.ready)
	u.ready = p.plan.add(Step{Kind: Connect, Service: s.Name, Number: c.Number, Container: c.ID, Name: c.Name, Endpoints: endpoints, Cause: cause}, after...)
}

// isOn reports whether a container is in the network of an endpoint, as that is there.
func (p *planner) isOn(c *Container, e Endpoint) bool {
	i := slices.IndexFunc(p.state.Networks, func(n Network) bool { return n.Name == e.Network })
	return i >= 0 && c.on(p.state.Networks[i])
}

// endpoints are a container's places in networks, the most important first.
func (p *planner) endpoints(s *types.ServiceConfig, number int) (all []Endpoint) {
	for _, key := range s.NetworksByPriority() {
		config := s.Networks[key]
		aliases := []string{p.containerName(s, number)}
		if config.ServiceNameAliasEnabled() && !slices.Contains(aliases, s.Name) {
			aliases = append(aliases, s.Name)
		}
		if config != nil {
			aliases = append(aliases, config.Aliases...)
		}
		all = append(all, Endpoint{Key: key, Network: p.Project.Networks[key].Name, Aliases: aliases, Config: config})
	}
	return all
}
