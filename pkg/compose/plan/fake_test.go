package plan_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

// fake is an engine in memory. It refuses what an engine would.
type fake struct {
	state     plan.State
	made      int
	before    before
	completes map[string]bool // services that run to their end
	checked   map[string]bool // services with a check
	kept      map[string]bool // anonymous volumes of before
	did       int
}

var errKilled = errors.New("killed")

// run does what an executor does: images first, then the rest. It is killed after so many steps; -1 is never.
func (f *fake) run(w plan.Wanted, random *rand.Rand, limit int) error {
	p := plan.Make(w, f.observe())
	if images := p.Images(); len(images.Steps) > 0 {
		if err := f.execute(w, images, random, limit); err != nil {
			return err
		}
		w.ImagesReady = true
		p = plan.Make(w, f.observe())
	}
	if p.Refused != nil {
		return p.Refused
	}
	return f.execute(w, p, random, limit)
}

// execute does the steps of a plan in any order that they allow.
func (f *fake) execute(w plan.Wanted, p plan.Plan, random *rand.Rand, limit int) error {
	left, done, made := slices.Clone(p.Steps), map[int]bool{}, map[int]string{}
	for len(left) > 0 {
		var ready []int
		for i, s := range left {
			if !slices.ContainsFunc(s.After, func(id int) bool { return !done[id] }) {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			return fmt.Errorf("no step can be done of\n%s", plan.Plan{Steps: left})
		}
		if f.did == limit {
			return errKilled
		}
		i := ready[random.IntN(len(ready))]
		s := left[i]
		f.did++
		if err := f.apply(w, s, made); err != nil && !s.Optional {
			return fmt.Errorf("%d. %s: %w", s.ID, s.Text(), err)
		}
		done[s.ID] = true
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

// observe is a copy of what is there.
func (f *fake) observe() plan.State {
	s := f.state
	s.Containers = slices.Clone(s.Containers)
	for i := range s.Containers {
		s.Containers[i].Networks = slices.Clone(s.Containers[i].Networks)
	}
	s.Networks, s.Volumes, s.Images = slices.Clone(s.Networks), slices.Clone(s.Volumes), maps.Clone(s.Images)
	return s
}

// settle lets time pass: checks come to what they come to, and what completes does.
func (f *fake) settle() {
	for i := range f.state.Containers {
		c := &f.state.Containers[i]
		if c.Status == plan.Running && f.completes[c.Service] && !c.OneOff {
			c.Status, c.Health = plan.Exited, ""
		}
		if c.Status == plan.Running && c.Health == plan.Starting {
			c.Health = f.health(c.Service)
		}
	}
}

func (f *fake) health(service string) plan.Health {
	if h := f.before.Health[service]; h != "" {
		return h
	}
	return plan.Healthy
}

func (f *fake) apply(w plan.Wanted, s plan.Step, made map[int]string) error {
	switch s.Kind {
	case plan.Pull, plan.Build:
		id := f.before.Remote[s.Name]
		if id == "" {
			id = "sha256:" + s.Name
		}
		image := plan.Image{ID: id, PulledAt: w.Now, Volumes: f.before.Paths[s.Name]}
		if s.Kind == plan.Build {
			image.Service = s.Service
		}
		f.state.Images[s.Name] = image
		return nil
	case plan.RemoveImage:
		delete(f.state.Images, s.Name)
		return nil
	case plan.CreateNetwork, plan.RemoveNetwork:
		return f.network(s)
	case plan.CreateVolume, plan.RemoveVolume:
		return f.volume(s)
	case plan.Create:
		id, err := f.create(w, s, made)
		made[s.ID] = id
		return err
	case plan.Wait:
		return f.wait(s)
	}
	id := s.Container
	if s.From > 0 {
		id = made[s.From]
	}
	i := slices.IndexFunc(f.state.Containers, func(c plan.Container) bool { return c.ID == id })
	if i < 0 {
		return fmt.Errorf("there is no container %q", id)
	}
	return f.change(&f.state.Containers[i], i, s)
}

// change does a step to a container.
func (f *fake) change(c *plan.Container, i int, s plan.Step) error {
	running := c.Status == plan.Running || c.Status == plan.Paused || c.Status == plan.Restarting
	switch s.Kind {
	case plan.Start, plan.Restart:
		if running && s.Kind == plan.Start || c.Status == plan.Dead {
			return fmt.Errorf("it is %s", c.Status)
		}
		for _, e := range c.Networks {
			if !f.is(e) {
				return fmt.Errorf("its network %s is not there", e.Network)
			}
		}
		if len(c.Networks) == 0 && len(c.Shares) == 0 && len(f.state.Networks) > 0 {
			return errors.New("it has no network")
		}
		c.Status, c.ExitCode, c.Health = plan.Running, 0, ""
		if f.checked[c.Service] {
			c.Health = plan.Starting
		}
	case plan.Stop, plan.Kill:
		if !running {
			return fmt.Errorf("it is %s", c.Status)
		}
		c.Status, c.ExitCode, c.Health = plan.Exited, 137, ""
	case plan.Pause:
		c.Status = plan.Paused
	case plan.Unpause:
		c.Status = plan.Running
	case plan.Remove:
		if running {
			return fmt.Errorf("it is %s", c.Status)
		}
		f.state.Containers = slices.Delete(f.state.Containers, i, i+1)
	case plan.Rename:
		if slices.ContainsFunc(f.state.Containers, func(c plan.Container) bool { return c.Name == s.Name }) {
			return errors.New("the name is taken")
		}
		c.Name = s.Name
	case plan.Connect:
		for _, e := range s.Endpoints {
			c.Networks = slices.DeleteFunc(slices.Clone(c.Networks), func(has plan.Endpoint) bool { return has.Network == e.Network && !f.is(has) })
			if running || slices.ContainsFunc(c.Networks, func(has plan.Endpoint) bool { return has.Network == e.Network }) {
				return fmt.Errorf("it is %s, and on %v", c.Status, c.Networks)
			}
			e, err := f.endpoint(e)
			if err != nil {
				return err
			}
			c.Networks = append(slices.Clone(c.Networks), e)
		}
	case plan.Disconnect:
		if running {
			return fmt.Errorf("it is %s", c.Status)
		}
		c.Networks = slices.DeleteFunc(slices.Clone(c.Networks), func(e plan.Endpoint) bool { return e.Network == s.Endpoints[0].Network })
	case plan.Hook:
		if s.When != plan.PreStart && c.Status != plan.Running {
			return fmt.Errorf("it is %s", c.Status)
		}
	default:
		return errors.New("no such step")
	}
	return nil
}

func (f *fake) is(e plan.Endpoint) bool {
	return slices.ContainsFunc(f.state.Networks, func(n plan.Network) bool { return n.Name == e.Network && (e.ID == "" || n.ID == e.ID) })
}

func (f *fake) endpoint(e plan.Endpoint) (plan.Endpoint, error) {
	for _, n := range f.state.Networks {
		if n.Name == e.Network {
			return plan.Endpoint{Network: n.Name, ID: n.ID, Aliases: e.Aliases}, nil
		}
	}
	return e, fmt.Errorf("there is no network %s", e.Network)
}

func (f *fake) network(s plan.Step) error {
	i := slices.IndexFunc(f.state.Networks, func(n plan.Network) bool { return n.Name == s.Name })
	if s.Kind == plan.CreateNetwork {
		f.made++
		n := plan.Network{Name: s.Name, ID: fmt.Sprintf("n%d", f.made), Labels: s.Labels}
		n.ReadLabels()
		f.state.Networks = append(f.state.Networks, n)
		return exists(i)
	}
	for _, c := range f.state.Containers {
		for _, e := range c.Networks {
			if e.Network == s.Name {
				return fmt.Errorf("%s is on it", c.Name)
			}
		}
	}
	f.state.Networks = slices.Delete(f.state.Networks, i, i+1)
	return nil
}

func (f *fake) volume(s plan.Step) error {
	i := slices.IndexFunc(f.state.Volumes, func(v plan.Volume) bool { return v.Name == s.Name })
	if s.Kind == plan.CreateVolume {
		v := plan.Volume{Name: s.Name, Labels: s.Labels}
		v.ReadLabels()
		f.state.Volumes = append(f.state.Volumes, v)
		return exists(i)
	}
	for _, c := range f.state.Containers {
		for _, m := range c.Mounts {
			if m.Volume == s.Name {
				return fmt.Errorf("%s uses it", c.Name)
			}
		}
	}
	f.state.Volumes = slices.Delete(f.state.Volumes, i, i+1)
	return nil
}

func exists(i int) error {
	if i >= 0 {
		return errors.New("there is one already")
	}
	return nil
}

func (f *fake) create(w plan.Wanted, s plan.Step, made map[int]string) (string, error) {
	f.made++
	c := plan.Container{ID: fmt.Sprintf("c%d", f.made), Name: s.Name, Labels: s.Labels, Status: plan.Created, Shares: []string{}}
	c.ReadLabels()
	if c.Service != s.Service || c.Number != s.Number || c.Replaces != s.Replaces {
		return "", fmt.Errorf("its labels say %+v", c)
	}
	image := s.Config.Image
	if image == "" {
		image = "p-" + s.Service
	}
	if f.state.Images[image].ID != c.ImageID || c.ImageID == "" {
		return "", fmt.Errorf("there is no image %s of %q", image, c.ImageID)
	}
	for _, e := range s.Endpoints {
		e, err := f.endpoint(e)
		if err != nil {
			return "", err
		}
		c.Networks = append(c.Networks, e)
	}
	for _, share := range s.Shares {
		id := share.Container
		if share.From > 0 {
			id = made[share.From]
		}
		if !slices.ContainsFunc(f.state.Containers, func(c plan.Container) bool { return c.ID == id }) {
			return "", fmt.Errorf("there is no %q of %s to use", id, share.Service)
		}
		if share.What != "link" {
			c.Shares = append(c.Shares, id)
		}
	}
	var err error
	if c.Mounts, err = f.mounts(w, s, image); err != nil {
		return "", err
	}
	if slices.ContainsFunc(f.state.Containers, func(has plan.Container) bool { return has.Name == c.Name }) {
		return "", fmt.Errorf("the name %s is taken", c.Name)
	}
	f.state.Containers = append(f.state.Containers, c)
	return c.ID, nil
}

func (f *fake) mounts(w plan.Wanted, s plan.Step, image string) (all []plan.Mount, err error) {
	anonymous := slices.Clone(f.state.Images[image].Volumes)
	for _, v := range s.Config.Volumes {
		switch {
		case v.Type != types.VolumeTypeVolume:
		case v.Source == "":
			anonymous = append(anonymous, v.Target)
		default:
			name := w.Project.Volumes[v.Source].Name
			if !slices.ContainsFunc(f.state.Volumes, func(v plan.Volume) bool { return v.Name == name }) {
				err = fmt.Errorf("there is no volume %s", name)
			}
			all = append(all, plan.Mount{Volume: name, Target: v.Target})
		}
	}
	for _, target := range anonymous {
		i := slices.IndexFunc(s.Inherit, func(m plan.Mount) bool { return m.Target == target })
		if i >= 0 {
			all = append(all, s.Inherit[i])
			continue
		}
		f.made++
		all = append(all, plan.Mount{Volume: fmt.Sprintf("v%d", f.made), Target: target, Anonymous: true})
	}
	return all, err
}

// wait lets the containers of a service come to what they come to.
func (f *fake) wait(s plan.Step) error {
	found := false
	for i := range f.state.Containers {
		c := &f.state.Containers[i]
		if c.Service != s.Service || c.OneOff {
			continue
		}
		found = true
		switch s.Condition {
		case types.ServiceConditionCompletedSuccessfully:
			if c.Status == plan.Running {
				c.Status, c.Health = plan.Exited, ""
			}
			if c.Status != plan.Exited || c.ExitCode != 0 {
				return fmt.Errorf("%s is %s (%d)", c.Name, c.Status, c.ExitCode)
			}
		default:
			if c.Status == plan.Running && c.Health == plan.Starting {
				c.Health = f.health(c.Service)
			}
			if c.Status != plan.Running || c.Health != plan.Healthy && (s.Condition != plan.RunningOrHealthy || c.Health != "") {
				return fmt.Errorf("%s is %s, %q", c.Name, c.Status, c.Health)
			}
		}
	}
	if !found {
		return errors.New("it has no container")
	}
	return nil
}
