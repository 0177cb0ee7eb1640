package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// converge is for the commands that make what is missing, and make anew what differs.
func (p *planner) converge() error {
	var used []*service // the services that need something of the project: what `run` names as well
	for _, name := range p.order {
		s := p.services[name]
		if s.selected || p.Command == RunCommand && slices.Contains(p.Services, name) {
			used = append(used, s)
		}
		if s.selected && s.scale > 1 && s.ContainerName != "" {
			return hint.With(fmt.Errorf("service %s has container_name %s, and is to have %d containers: a name is one container's", name, s.ContainerName, s.scale),
				"take container_name out, and names end in numbers")
		}
	}
	if len(used) == 0 {
		return hint.With(fmt.Errorf("no service of the project %s is active", p.Project.Name), "name one, or a profile: --profile NAME")
	}
	if err := p.external(used); err != nil {
		return err
	}
	if err := p.ports(used); err != nil {
		return err
	}
	if err := p.bringImages(used); err != nil {
		return err
	}
	p.orphans()
	p.convergeNetworks(used)
	p.convergeVolumes(used)
	for _, s := range used {
		if s.selected {
			if err := p.convergeService(s); err != nil {
				return err
			}
		}
	}
	if p.Command == CreateCommand || p.NoStart {
		return nil
	}
	return p.startAll()
}

// external refuses what the project uses and has no part in, where it is not there.
func (p *planner) external(used []*service) error {
	for _, key := range usedNetworks(used) {
		n := p.Project.Networks[key]
		if bool(n.External) && p.state.network("", n.Name) == nil {
			return hint.With(fmt.Errorf("network %s is external, and there is none of the name %s", key, n.Name), "linnet network create "+n.Name)
		}
	}
	for _, key := range usedVolumes(used) {
		v := p.Project.Volumes[key]
		if bool(v.External) && p.state.volume("", v.Name) == nil {
			return hint.With(fmt.Errorf("volume %s is external, and there is none of the name %s", key, v.Name), "linnet volume create "+v.Name)
		}
	}
	return nil
}

func usedNetworks(services []*service) []string {
	all := map[string]bool{}
	for _, s := range services {
		for key := range s.Networks {
			all[key] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func usedVolumes(services []*service) []string {
	all := map[string]bool{}
	for _, s := range services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && v.Source != "" {
				all[v.Source] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// bringImages plans what brings the images that are missing, or wanted anew.
func (p *planner) bringImages(used []*service) error {
	if p.ImagesReady {
		return nil
	}
	for _, s := range used {
		if _, err := p.bringImage(s, false); err != nil {
			return err
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeImage {
				p.pullFor(s, v.Source, "a volume of it is wanted, and it is not there")
			}
		}
		for _, hook := range s.PreStart {
			p.pullFor(s, hook.Image, "a hook wants it, and it is not there")
		}
	}
	for _, s := range used {
		if p.images[p.imageName(s.ServiceConfig)] > 0 && len(s.units) > 0 {
			p.plan.note("what becomes of the containers of %s is decided when its image is there", s.Name)
		}
	}
	return nil
}

// pullFor pulls an image that a service needs besides its own, where it is not there.
func (p *planner) pullFor(s *service, image, cause string) {
	if _, there := p.state.Images[image]; !there && image != "" && p.images[image] == 0 && image != p.imageName(s.ServiceConfig) {
		p.images[image] = p.plan.add(Step{Kind: Pull, Service: s.Name, Name: image, Config: s.ServiceConfig, Cause: cause})
	}
}

// bringImage plans what brings a service's image, and returns the step; as says that another one is built from it.
func (p *planner) bringImage(s *service, as bool) (int, error) {
	name := p.imageName(s.ServiceConfig)
	if id := p.images[name]; id > 0 {
		return id, nil
	}
	kind, cause, err := p.imageNeed(s, name)
	if err != nil || kind == "" || as && kind == Pull {
		return 0, err
	}
	var after []int
	if kind == Build {
		p.images[name] = -1 // a circle of builds ends here
		for _, key := range slices.Sorted(maps.Keys(s.Build.AdditionalContexts)) {
			other, ok := strings.CutPrefix(s.Build.AdditionalContexts[key], types.ServicePrefix)
			if !ok || p.services[other] == nil || p.services[other].Build == nil {
				continue
			}
			id, err := p.bringImage(p.services[other], true)
			if err != nil {
				return 0, err
			}
			after = append(after, max(id, 0))
		}
	}
	policy, _, _ := s.GetPullPolicy() // it was understood above
	p.images[name] = p.plan.add(Step{
		Kind: kind, Service: s.Name, Name: name, Config: s.ServiceConfig, Cause: cause,
		Optional: kind == Pull && s.Build != nil,
		TryPull:  kind == Build && s.Image != "" && !p.Wanted.Build && policy != types.PullPolicyBuild && policy != types.PullPolicyNever,
	}, after...)
	return p.images[name], nil
}

// imageNeed says which step an image needs, and why; none when it is there and stays.
func (p *planner) imageNeed(s *service, name string) (Kind, string, error) {
	image, there := p.state.Images[name]
	policy, age, err := s.GetPullPolicy()
	if err != nil {
		return "", "", fmt.Errorf("service %s: %w", s.Name, err)
	}
	if p.Pull != "" && p.Pull != "policy" {
		policy = p.Pull
	}
	if s.Build != nil && !p.NoBuild {
		switch {
		case p.Wanted.Build:
			return Build, "--build", nil
		case policy == types.PullPolicyBuild:
			return Build, "its pull policy is build", nil
		case !there:
			return Build, "it is not there", nil
		}
	}
	switch {
	case s.Image == "" && there:
		return "", "", nil
	case s.Image == "":
		return "", "", hint.With(fmt.Errorf("the image of service %s is not there, and is not to be built", s.Name), "leave out --no-build")
	case policy == types.PullPolicyNever && !there:
		return "", "", hint.With(fmt.Errorf("image %s of service %s is not there, and is never pulled", name, s.Name), "linnet pull "+name)
	case policy == types.PullPolicyAlways:
		return Pull, "its pull policy is always", nil
	case policy == types.PullPolicyRefresh && there && p.Now.Sub(image.PulledAt) >= age:
		return Pull, "its pull policy is " + s.PullPolicy, nil
	case !there:
		return Pull, "it is not there", nil
	}
	return "", "", nil
}

// convergeVolumes makes the volumes that are missing. One whose configuration has changed is asked about: its data would be lost.
func (p *planner) convergeVolumes(used []*service) {
	var anew []string
	for _, key := range usedVolumes(used) {
		v, ok := p.Project.Volumes[key]
		if !ok || bool(v.External) {
			continue
		}
		have := p.state.volume(key, v.Name)
		switch {
		case have == nil:
			p.createVolume(key, "there is none")
		case have.Name != v.Name:
			p.createVolume(key, "its name has changed, and "+have.Name+" is kept")
		case have.Hash == "" || have.Hash == VolumeHash(&v):
		case len(p.volumeUsers(have, key)) > 0:
			p.plan.note("volume %s has changed, and stays as it is, in use by %s", v.Name, strings.Join(p.volumeUsers(have, key), ", "))
		case slices.Contains(p.RecreateVolumes, key):
			anew = append(anew, key)
		default:
			p.plan.Questions = append(p.plan.Questions, Question{
				Volume: key, Text: fmt.Sprintf("volume %s has another configuration than the project says: make it anew, and lose its data?", v.Name),
			})
		}
	}
	p.recreateVolumes(used, anew)
}

// volumeUsers are who uses a volume besides the containers of the chosen services.
func (p *planner) volumeUsers(v *Volume, key string) (names []string) {
	if v.Others {
		names = append(names, "containers of other projects")
	}
	for i := range p.state.Containers {
		c := &p.state.Containers[i]
		s := p.services[c.Service]
		if p.removed[c.ID] == 0 && c.mounts(v.Name) && (s == nil || c.OneOff || !s.selected || !p.usesVolume(s, []string{key})) {
			names = append(names, c.Name)
		}
	}
	return names
}

func (p *planner) createVolume(key, cause string, after ...int) {
	v := p.Project.Volumes[key]
	labels := map[string]string{ProjectLabel: p.Project.Name, VolumeLabel: key, HashLabel: VolumeHash(&v)}
	maps.Copy(labels, v.Labels)
	p.volumes[key] = p.plan.add(Step{Kind: CreateVolume, Key: key, Name: v.Name, VolumeConfig: &v, Labels: labels, Cause: cause}, after...)
}

// recreateVolumes removes the containers that use volumes, makes these anew, and leaves the services without containers.
func (p *planner) recreateVolumes(used []*service, keys []string) {
	if len(keys) == 0 {
		return
	}
	removed := slices.Collect(maps.Values(p.removed)) // orphans
	for _, s := range used {
		if !p.usesVolume(s, keys) {
			continue
		}
		for _, u := range s.units {
			for _, c := range []*Container{u.next, u.have} {
				if c != nil {
					removed = append(removed, p.removeContainer(nil, c, "a volume of it is made anew", false))
				}
			}
		}
		s.units = nil
	}
	for _, key := range keys {
		name := p.Project.Volumes[key].Name
		id := p.plan.add(Step{Kind: RemoveVolume, Key: key, Name: name, Cause: "configuration changed"}, removed...)
		p.createVolume(key, "configuration changed", id)
	}
}

// usesVolume reports whether a service's containers have one of the volumes, their own or another service's.
func (p *planner) usesVolume(s *service, keys []string) bool {
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && slices.Contains(keys, v.Source) {
			return true
		}
	}
	for _, share := range references(s.ServiceConfig) {
		if other := p.services[share.Service]; share.What == "volumes" && other != nil && p.usesVolume(other, keys) {
			return true
		}
	}
	return false
}

// orphans removes the containers of services that the project does not have, or mentions them.
func (p *planner) orphans() {
	var names []string
	for i := range p.state.Containers {
		c := &p.state.Containers[i]
		if !p.orphan(c) {
			continue
		}
		if !p.RemoveOrphans {
			names = append(names, c.Name)
			continue
		}
		p.removeContainer(nil, c, "orphan", false)
	}
	if len(names) > 0 && !p.IgnoreOrphans {
		p.plan.note("the project has no service for %s: --remove-orphans removes what is left", strings.Join(names, ", "))
	}
}

// orphan reports whether a container belongs to the project and to none of its services, or was for one run and has ended.
func (p *planner) orphan(c *Container) bool {
	if c.OneOff {
		return c.Status == Exited || c.Status == Dead
	}
	_, active := p.Project.Services[c.Service]
	_, disabled := p.Project.DisabledServices[c.Service]
	return !active && !disabled
}
