package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// convergeService gives a service the containers that it is to have. Of too many those go that would be made anew, then those of the highest numbers.
func (p *planner) convergeService(s *service) error {
	s.text = serviceText(s.ServiceConfig)
	s.hash = digest(s.text)
	shares, err := p.shares(s)
	if err != nil && s.scale > 0 {
		return err
	}
	causes := map[*unit]string{}
	highest := 0
	for _, u := range s.units {
		if u.next != nil && p.stale(s, u.next, shares, Changed) != "" {
			u.cleared = p.removeContainer(nil, u.next, "an earlier run left it half-made, and it is not what is wanted", false)
			u.next = nil
		}
		if u.next == nil {
			causes[u] = p.stale(s, u.have, shares, p.policy(s))
		}
		highest = max(highest, u.number)
	}
	slices.SortStableFunc(s.units, func(a, b *unit) int {
		if aOld, bOld := causes[a] != "", causes[b] != ""; aOld != bOld {
			if aOld {
				return 1
			}
			return -1
		}
		return byNumber(a.have, b.have)
	})
	there := len(s.units)
	for i, u := range s.units {
		switch {
		case i >= s.scale:
			p.scaleDown(s, u, fmt.Sprintf("scale %d -> %d", there, s.scale))
		case causes[u] != "":
			p.recreate(s, u, shares, causes[u])
		default:
			p.keep(s, u)
		}
	}
	s.units = slices.DeleteFunc(s.units, func(u *unit) bool { return u.gone })
	p.scaleUp(s, shares, there, highest)
	slices.SortFunc(s.units, func(a, b *unit) int { return a.number - b.number })
	return nil
}

func (p *planner) policy(s *service) Policy {
	switch {
	case s.named && p.RenewVolumes && p.Recreate != Never:
		return Always
	case s.named && p.Command != RunCommand:
		return p.Recreate
	case p.AlwaysRecreateDeps:
		return Always
	case p.Recreate == Never:
		return Never
	}
	return Changed
}

// stale says why a container is made anew; empty when it stays.
func (p *planner) stale(s *service, c *Container, shares []Share, policy Policy) string {
	switch policy {
	case Never:
		return ""
	case Always:
		if p.RenewVolumes && p.Recreate != Always {
			return "--renew-anon-volumes"
		}
		if s.named {
			return "--force-recreate"
		}
		return "--always-recreate-deps"
	}
	for _, share := range shares {
		if share.What == "link" {
			continue
		}
		if share.From > 0 || c.Shares != nil && !slices.Contains(c.Shares, share.Container) {
			return fmt.Sprintf("%s, whose %s it uses, is made anew", share.Service, shareText(share.What))
		}
	}
	switch {
	case c.foreign():
		return "another compose made it"
	case c.Hash != s.hash:
		if keys := changedKeys(c.Labels[KeysLabel], keyDigests(s.text)); len(keys) > 0 {
			return "configuration changed: " + strings.Join(keys, ", ")
		}
		return "configuration changed"
	case c.Status == Dead:
		return "it is dead"
	}
	if image, there := p.state.Images[p.imageName(s.ServiceConfig)]; there && image.ID != c.ImageID {
		return "image changed"
	}
	if c.Labels[VolumeImagesLabel] != p.volumeImages(s) {
		return "the image of a volume changed"
	}
	return p.misses(s, c)
}

// volumeImages is a digest of the images that a service mounts as volumes; empty when it mounts none.
func (p *planner) volumeImages(s *service) string {
	var text strings.Builder
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeImage {
			fmt.Fprintf(&text, "%s=%s\n", v.Source, p.state.Images[v.Source].ID)
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return digest([]byte(text.String()))
}

// misses says which network or volume of its service a container does not have, and cannot be given as it is.
func (p *planner) misses(s *service, c *Container) string {
	for _, e := range p.endpoints(s.ServiceConfig, c.Number) {
		taken := slices.ContainsFunc(p.taken[c.ID], func(t connection) bool { return t.key == e.Key })
		if c.active() && p.stopped[c.ID] == 0 && !taken && !p.isOn(c, e) {
			return "it is not on the network " + e.Key
		}
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source != "" && !c.mounts(p.volumeName(v.Source)) {
			return "it does not have the volume " + v.Source
		}
	}
	return ""
}

func (p *planner) volumeName(key string) string {
	if v, ok := p.Project.Volumes[key]; ok {
		return v.Name
	}
	return key
}

// shares are the containers of other services that a service's containers use, as they will be.
func (p *planner) shares(s *service) (all []Share, err error) {
	for _, share := range references(s.ServiceConfig) {
		other := p.services[share.Service]
		if other == nil || len(other.units) == 0 {
			if share.What != "link" {
				err = fmt.Errorf("service %s uses the %s of %s, which has no container", s.Name, shareText(share.What), share.Service)
			}
			continue
		}
		units := other.units[:1]
		if share.What == "link" {
			units = other.units
		}
		for _, u := range units {
			one := share
			if one.From = u.create; u.create == 0 {
				one.Container = u.have.ID
			}
			all = append(all, one)
		}
	}
	return all, err
}

// keep leaves a container as it is, and ends what an earlier run began.
func (p *planner) keep(s *service, u *unit) {
	name := p.containerName(s.ServiceConfig, u.number)
	if u.next != nil {
		const cause = "an earlier run began to make it anew"
		gone := p.removeContainer(nil, u.have, cause, false, p.stopDependents(s)...)
		u.ready = p.plan.add(Step{Kind: Rename, Service: s.Name, Number: u.number, Container: u.next.ID, Name: name, Cause: cause}, gone)
		u.have, u.next = u.next, nil
	} else if u.have.Replaces != "" && u.have.Name != name {
		u.ready = p.plan.add(Step{Kind: Rename, Service: s.Name, Number: u.number, Container: u.have.ID, Name: name, Cause: "an earlier run began to make it anew"})
	}
	if !u.have.active() || p.stopped[u.have.ID] > 0 {
		p.connectMissing(s, u)
	}
}

// recreate makes a container anew: the new one is there before the old one goes, under a name for the time being.
func (p *planner) recreate(s *service, u *unit, shares []Share, cause string) {
	c := u.have
	name := p.containerName(s.ServiceConfig, u.number)
	dependents := p.stopDependents(s)
	step := p.creation(s, u.number, shares)
	step.Name, step.Replaces, step.Cause = c.ID[:min(12, len(c.ID))]+"_"+name, c.ID, cause
	step.Labels[ReplaceLabel] = c.ID
	if !p.RenewVolumes {
		step.Inherit = p.inherited(s, c)
	}
	u.create = p.plan.add(step, append(p.creationAfter(s, shares), u.cleared)...)
	stop := p.stopContainer(nil, c, cause, append(dependents, u.create)...)
	var off []int
	for _, t := range p.taken[c.ID] {
		off = append(off, t.after...)
	}
	off = append(off, stop, u.create)
	gone := p.plan.add(Step{Kind: Remove, Service: s.Name, Number: c.Number, Container: c.ID, Name: c.Name, Cause: "a new one takes its place"}, off...)
	u.ready = p.plan.add(Step{Kind: Rename, Service: s.Name, Number: u.number, From: u.create, Name: name, Cause: "the old one is gone"}, gone)
}

// stopDependents stops the containers of services that are restarted with this one.
func (p *planner) stopDependents(s *service) (steps []int) {
	for _, name := range p.order {
		d := p.services[name]
		i := slices.IndexFunc(d.needs, func(n need) bool { return n.name == s.Name && n.restart })
		if i < 0 || !d.selected {
			continue
		}
		for _, u := range d.units {
			if u.have != nil {
				steps = append(steps, p.stopContainer(nil, u.have, "depends on "+s.Name+", which is made anew"))
			}
		}
	}
	return steps
}

// inherited are the anonymous volumes of a container that its successor takes over: those that its service or its image still has.
func (p *planner) inherited(s *service, c *Container) (all []Mount) {
	image := p.state.Images[p.imageName(s.ServiceConfig)]
	for _, m := range c.Mounts {
		if !m.Anonymous {
			continue
		}
		own := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == m.Target })
		if own >= 0 && s.Volumes[own].Type == types.VolumeTypeVolume && s.Volumes[own].Source == "" || own < 0 && slices.Contains(image.Volumes, m.Target) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b Mount) int { return strings.Compare(a.Target, b.Target) })
	return all
}

func (p *planner) scaleDown(s *service, u *unit, cause string) {
	u.gone = true
	for _, c := range []*Container{u.next, u.have} {
		if c != nil {
			s.ends = append(s.ends, p.removeContainer(nil, c, cause, false))
		}
	}
}

// scaleUp makes the containers that are missing. Each waits for the one before it: a run that ends in between leaves no gap in the numbers.
func (p *planner) scaleUp(s *service, shares []Share, there, highest int) {
	cause := "there is none"
	if there > 0 {
		cause = fmt.Sprintf("scale %d -> %d", there, s.scale)
	}
	before := 0
	for number := highest + 1; len(s.units) < s.scale; number++ {
		step := p.creation(s, number, shares)
		step.Name, step.Cause = p.containerName(s.ServiceConfig, number), cause
		before = p.plan.add(step, append(p.creationAfter(s, shares), before)...)
		s.units = append(s.units, &unit{number: number, create: before, ready: before})
	}
}

// creation is a step that makes a container of a service, without its name and cause.
func (p *planner) creation(s *service, number int, shares []Share) Step {
	labels := maps.Clone(map[string]string(s.Labels))
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		ProjectLabel: p.Project.Name, ServiceLabel: s.Name, NumberLabel: strconv.Itoa(number), OneOffLabel: "False",
		HashLabel: s.hash, KeysLabel: keyDigests(s.text), DependsOnLabel: dependsOn(s),
		DirLabel: p.Project.WorkingDir, FilesLabel: strings.Join(p.Project.ComposeFiles, ","),
		ImageLabel: p.state.Images[p.imageName(s.ServiceConfig)].ID,
	})
	if mounted := p.volumeImages(s); mounted != "" {
		labels[VolumeImagesLabel] = mounted
	}
	return Step{
		Kind: Create, Service: s.Name, Number: number, Config: s.ServiceConfig, Labels: labels,
		Endpoints: p.endpoints(s.ServiceConfig, number), Shares: shares,
	}
}

// dependsOn is what a service depends on as the label has it: NAME:CONDITION:RESTART,...
func dependsOn(s *service) string {
	items := make([]string, len(s.needs))
	for i, n := range s.needs {
		items[i] = n.name + ":" + n.condition + ":" + strconv.FormatBool(n.restart)
	}
	return strings.Join(items, ",")
}

// creationAfter are the steps before which a container of a service cannot be made.
func (p *planner) creationAfter(s *service, shares []Share) []int {
	after := []int{p.images[p.imageName(s.ServiceConfig)]}
	for key := range s.Networks {
		after = append(after, p.networks[key])
	}
	for _, v := range s.Volumes {
		switch v.Type {
		case types.VolumeTypeVolume:
			after = append(after, p.volumes[v.Source])
		case types.VolumeTypeImage:
			after = append(after, p.images[v.Source])
		}
	}
	for _, share := range shares {
		after = append(after, share.From)
	}
	return after
}
