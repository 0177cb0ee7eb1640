package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Make says what has to be done so that what is there becomes what a command wants. The same arguments make the same plan; neither is changed.
func Make(w Wanted, s State) Plan {
	p := &planner{
		Wanted: w, state: s, networks: map[string]int{}, volumes: map[string]int{}, images: map[string]int{},
		stopped: map[string]int{}, removed: map[string]int{}, taken: map[string][]connection{}, waits: map[string]int{},
	}
	if w.Project == nil {
		p.fileless, p.Project = true, projectOf(w.Name, s)
	}
	if err := p.do(); err != nil {
		return Plan{Refused: err}
	}
	return p.plan
}

// Chosen are the names of the services that a command takes, dependencies first: what it names, what these depend on where it takes that,
// and what `run` runs. The error is one that Make refuses with.
func Chosen(w Wanted) (names []string, err error) {
	p := &planner{Wanted: w}
	if err := p.graph(); err != nil {
		return nil, err
	}
	if err := p.choose(); err != nil {
		return nil, err
	}
	for _, name := range p.order {
		if p.services[name].selected || w.Command == RunCommand && slices.Contains(w.Services, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// planner is a plan being made.
type planner struct {
	Wanted
	state State
	plan  Plan
	// fileless says that there is no project but what labels say.
	fileless bool
	// services are all that an active profile has; order has their names, dependencies first.
	services map[string]*service
	order    []string

	// networks and volumes are the steps that make those of a key, images those that bring images.
	networks, volumes, images map[string]int
	// stopped are the steps that stop containers, by ID; taken are the networks that the plan takes one off.
	// removed are those that remove containers.
	stopped, removed map[string]int

	taken map[string][]connection
	// waits are the steps that wait, by what for.
	waits map[string]int
}

// service is one of the project's, with what is there of it and what becomes of that.
type service struct {
	*types.ServiceConfig
	// selected says that the command takes it, named that its line names it, or none.
	selected, named bool
	needs           []need
	scale           int
	units           []*unit
	oneOffs         []*Container
	// text is the configuration that counts, hash its digest.
	text []byte
	hash string
	// ends are the steps after which the service is started, or, when going down, stopped.
	ends []int
	// started says that a container of it is started by the plan.
	started bool
}

// need is something that a service depends on.
type need struct {
	name, condition   string
	required, restart bool
}

// unit is one container of a service: one that is there, or that is made.
type unit struct {
	number int
	// have is the container that is there; next is one that an earlier run began to replace it with.
	have, next *Container
	// create is the step that makes it, ready the last of those after which it can be started.
	create, ready int
	// cleared is the step that removes what an earlier run left in its place.
	cleared int
	// gone says that it is removed.
	gone bool
}

func (p *planner) do() error {
	if p.fileless && p.Command.makes() {
		return hint.With(fmt.Errorf("%s needs a compose file, and there is none", p.Command), "name one: linnet compose -f FILE ...")
	}
	if err := p.graph(); err != nil {
		return err
	}
	if err := p.choose(); err != nil {
		return err
	}
	p.observe()
	switch p.Command {
	case UpCommand, CreateCommand, ScaleCommand, RunCommand:
		return p.converge()
	case StartCommand:
		return p.startOnly()
	case RestartCommand:
		p.restart()
	case StopCommand:
		p.stop()
	case KillCommand:
		p.kill()
	case RemoveCommand:
		p.remove()
	case DownCommand:
		p.down()
	case PauseCommand, UnpauseCommand:
		p.pause()
	default:
		return fmt.Errorf("%q is not a command that has a plan", p.Command)
	}
	return nil
}

// graph finds the active services, and their order.
func (p *planner) graph() error {
	profiles := slices.Clone(p.Project.Profiles)
	for _, name := range p.Services {
		profiles = append(profiles, p.Project.DisabledServices[name].Profiles...)
	}
	p.services = make(map[string]*service, len(p.Project.Services))
	for name, s := range p.Project.Services {
		s.Name = name
		p.services[name] = &service{ServiceConfig: &s}
	}
	for name, s := range p.Project.DisabledServices {
		if len(profiles) > 0 && len(p.Services) > 0 && s.HasProfile(profiles) || slices.Contains(p.Services, name) {
			s.Name = name
			p.services[name] = &service{ServiceConfig: &s}
		}
	}
	for name, s := range p.services {
		s.needs = needs(s.ServiceConfig)
		s.scale = s.GetScale()
		if n, ok := p.Scale[name]; ok {
			s.scale = n
		}
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.services)) {
		if err := p.visit(name, seen, nil); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) visit(name string, seen map[string]bool, path []string) error {
	if i := slices.Index(path, name); i >= 0 {
		return fmt.Errorf("%s -> %s depend on each other", strings.Join(path[i:], " -> "), name)
	}
	if seen[name] {
		return nil
	}
	seen[name] = true
	for _, n := range p.services[name].needs {
		if p.services[n.name] == nil {
			continue
		}
		if err := p.visit(n.name, seen, append(path, name)); err != nil {
			return err
		}
	}
	p.order = append(p.order, name)
	return nil
}

// needs are what a service depends on, by name: what it says, and whose namespaces, volumes and names it uses.
func needs(s *types.ServiceConfig) (all []need) {
	for name, d := range s.DependsOn {
		condition := d.Condition
		if condition == "" {
			condition = types.ServiceConditionStarted
		}
		all = append(all, need{name, condition, d.Required, d.Restart})
	}
	for _, share := range references(s) {
		if !slices.ContainsFunc(all, func(n need) bool { return n.name == share.Service }) {
			all = append(all, need{share.Service, types.ServiceConditionStarted, true, share.What != "volumes"})
		}
	}
	slices.SortFunc(all, func(a, b need) int { return strings.Compare(a.name, b.name) })
	return all
}

// references are the other services whose namespaces, volumes and names a service uses.
func references(s *types.ServiceConfig) (all []Share) {
	for _, mode := range []Share{{What: "network", Service: s.NetworkMode}, {What: "ipc", Service: s.Ipc}, {What: "pid", Service: s.Pid}, {What: "uts", Service: s.Uts}, {What: "cgroup", Service: s.Cgroup}} {
		if name, ok := strings.CutPrefix(mode.Service, types.ServicePrefix); ok {
			all = append(all, Share{What: mode.What, Service: name})
		}
	}
	for _, from := range s.VolumesFrom {
		if strings.HasPrefix(from, types.ContainerPrefix) {
			continue
		}
		name, mode, _ := strings.Cut(from, ":")
		all = append(all, Share{What: "volumes", Service: name, As: mode})
	}
	for _, link := range s.Links {
		name, as, _ := strings.Cut(link, ":")
		all = append(all, Share{What: "link", Service: name, As: as})
	}
	return all
}

// choose marks the services that the command takes.
func (p *planner) choose() error {
	for _, name := range p.Services {
		if p.services[name] == nil {
			if p.fileless {
				continue // it may be gone already
			}
			names := slices.Sorted(maps.Keys(p.Project.AllServices()))
			return hint.With(fmt.Errorf("there is no service %q in the project %s", name, p.Project.Name), "it has "+strings.Join(names, ", "))
		}
	}
	for _, name := range p.order {
		s := p.services[name]
		s.named = len(p.Services) == 0 || slices.Contains(p.Services, name)
		s.selected = s.named
	}
	switch {
	case p.Command == RestartCommand:
		p.chooseDependents()
	case p.Command.withDependencies() && !p.NoDeps:
		return p.chooseDependencies()
	case p.Command == RunCommand:
		for _, name := range p.Services {
			p.services[name].selected = false
		}
	}
	return nil
}

// chooseDependencies adds what the chosen services depend on; the one that `run` names is not among them.
func (p *planner) chooseDependencies() error {
	for _, name := range slices.Backward(p.order) {
		s := p.services[name]
		if !s.selected {
			continue
		}
		for _, n := range s.needs {
			switch other := p.services[n.name]; {
			case other != nil:
				other.selected = true
			case n.required:
				return p.missing(name, n.name)
			}
		}
	}
	if p.Command == RunCommand {
		for _, name := range p.Services {
			p.services[name].selected = false
		}
	}
	return nil
}

func (p *planner) missing(name, dependency string) error {
	err := fmt.Errorf("service %s depends on %s, which the project %s does not have", name, dependency, p.Project.Name)
	if disabled, ok := p.Project.DisabledServices[dependency]; ok {
		return hint.With(fmt.Errorf("service %s depends on %s, which no active profile has", name, dependency),
			"--profile "+strings.Join(disabled.Profiles, " or --profile "))
	}
	return err
}

// chooseDependents adds the services that are restarted with what they depend on.
func (p *planner) chooseDependents() {
	if p.NoDeps {
		return
	}
	for _, name := range p.order {
		for _, n := range p.services[name].needs {
			if other := p.services[n.name]; n.restart && other != nil && other.selected {
				p.services[name].selected = true
			}
		}
	}
}

// observe gives each service its containers.
func (p *planner) observe() {
	var halves []*Container
	for i := range p.state.Containers {
		c := &p.state.Containers[i]
		s := p.services[c.Service]
		switch {
		case s == nil:
		case c.OneOff:
			s.oneOffs = append(s.oneOffs, c)
		case c.Replaces != "" && c.Name != p.containerName(s.ServiceConfig, c.Number):
			halves = append(halves, c)
		default:
			s.units = append(s.units, &unit{number: c.Number, have: c})
		}
	}
	for _, c := range halves {
		s := p.services[c.Service]
		i := slices.IndexFunc(s.units, func(u *unit) bool { return u.have.ID == c.Replaces && u.next == nil })
		if i < 0 {
			s.units = append(s.units, &unit{number: c.Number, have: c})
			continue
		}
		s.units[i].next = c
	}
	for _, s := range p.services {
		slices.SortFunc(s.units, func(a, b *unit) int { return byNumber(a.have, b.have) })
	}
}

// containerName is the name of a service's container.
func (p *planner) containerName(s *types.ServiceConfig, number int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	sep := p.Separator
	if sep == "" {
		sep = "-"
	}
	return fmt.Sprintf("%s%s%s%s%d", p.Project.Name, sep, s.Name, sep, number)
}

// imageName is the name under which a service's image is found.
func (p *planner) imageName(s *types.ServiceConfig) string {
	if s.Image != "" {
		return s.Image
	}
	return p.Project.Name + "-" + s.Name
}

// projectOf is the project as the labels of what is there tell it.
func projectOf(name string, s State) *types.Project {
	p := &types.Project{Name: name, Services: types.Services{}, Networks: types.Networks{}, Volumes: types.Volumes{}}
	for _, c := range s.Containers {
		if c.Service == "" {
			continue
		}
		known, ok := p.Services[c.Service]
		if !ok {
			known = types.ServiceConfig{Name: c.Service, ContainerSpec: types.ContainerSpec{}}
			known.DependsOn = types.DependsOnConfig{}
		}
		for item := range strings.SplitSeq(c.Labels[DependsOnLabel], ",") {
			parts := strings.Split(item, ":")
			if parts[0] == "" {
				continue
			}
			d := types.ServiceDependency{Condition: types.ServiceConditionStarted}
			if len(parts) > 1 {
				d.Condition = parts[1]
			}
			d.Restart = len(parts) > 2 && parts[2] == "true"
			known.DependsOn[parts[0]] = d
		}
		p.Services[c.Service] = known
	}
	for _, n := range s.Networks {
		if n.Labels[ProjectLabel] == name {
			p.Networks[n.Name] = types.NetworkConfig{Name: n.Name}
		}
	}
	for _, v := range s.Volumes {
		if v.Labels[ProjectLabel] == name {
			p.Volumes[v.Name] = types.VolumeConfig{Name: v.Name}
		}
	}
	return p
}
