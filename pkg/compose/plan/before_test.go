package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/compose/plan"
)

// newFake has what a case says is there before.
func newFake(t *testing.T, c testCase) *fake {
	t.Helper()
	f := &fake{before: c.before, completes: map[string]bool{}, checked: map[string]bool{}, kept: map[string]bool{}}
	f.state.Images = map[string]plan.Image{}
	f.learn(c.wanted.Project)
	if text := c.file(c.before.From); text != "" {
		w := parseCommand(t, "up")
		if c.before.Command != "" {
			w = parseCommand(t, c.before.Command)
		}
		w.Project = loadProject(t, text, w.Project)
		f.learn(w.Project)
		f.before.Health = nil
		if err := f.run(w, rand.New(rand.NewPCG(1, 1)), -1); err != nil {
			t.Fatalf("what was before: %v", err)
		}
		f.settle()
		f.before.Health = c.before.Health
	}
	for name, id := range c.before.Images {
		if delete(f.state.Images, name); id != "gone" {
			f.state.Images[name] = plan.Image{ID: id, PulledAt: c.wanted.Now.AddDate(0, 0, -3), Volumes: c.before.Paths[name]}
		}
	}
	for name, change := range sorted(c.before.Containers) {
		f.changeContainer(name, change)
	}
	for name, change := range sorted(c.before.Networks) {
		f.state.Networks = slices.DeleteFunc(f.state.Networks, func(n plan.Network) bool { return n.Name == name && (change.Gone || change.Labels != nil) })
		if i := slices.IndexFunc(f.state.Networks, func(n plan.Network) bool { return n.Name == name }); i >= 0 {
			f.state.Networks[i].Others = change.Others
		} else if !change.Gone {
			n := plan.Network{Name: name, ID: "n-" + name, Labels: change.Labels, Others: change.Others}
			n.ReadLabels()
			f.state.Networks = append(f.state.Networks, n)
		}
	}
	for name, change := range sorted(c.before.Volumes) {
		f.state.Volumes = slices.DeleteFunc(f.state.Volumes, func(v plan.Volume) bool { return v.Name == name && (change.Gone || change.Labels != nil) })
		if i := slices.IndexFunc(f.state.Volumes, func(v plan.Volume) bool { return v.Name == name }); i >= 0 {
			f.state.Volumes[i].Others = change.Others
		} else if !change.Gone {
			v := plan.Volume{Name: name, Labels: change.Labels, Others: change.Others}
			v.ReadLabels()
			f.state.Volumes = append(f.state.Volumes, v)
		}
	}
	for _, container := range f.state.Containers {
		for _, m := range container.Mounts {
			if m.Anonymous {
				f.kept[m.Volume] = true
			}
		}
	}
	f.did = 0
	return f
}

func sorted[V any](m map[string]V) func(func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// learn has the images of a project, unless they are gone, and knows how its services behave.
func (f *fake) learn(p *types.Project) {
	if p == nil {
		return
	}
	for name, s := range p.AllServices() {
		image := s.Image
		if image == "" {
			image = "p-" + name
		}
		f.state.Images[image] = plan.Image{ID: "sha256:" + image, Volumes: f.before.Paths[image]}
		if s.Build != nil {
			f.state.Images[image] = plan.Image{ID: "sha256:" + image, Service: name}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeImage {
				f.state.Images[v.Source] = plan.Image{ID: "sha256:" + v.Source}
			}
		}
		f.checked[name] = s.HealthCheck != nil && !s.HealthCheck.Disable
		for dependency, d := range s.DependsOn {
			f.completes[dependency] = f.completes[dependency] || d.Condition == types.ServiceConditionCompletedSuccessfully
		}
	}
}

func (f *fake) changeContainer(name string, change changedContainer) {
	i := slices.IndexFunc(f.state.Containers, func(c plan.Container) bool { return c.Name == name })
	if change.Gone {
		f.state.Containers = slices.Delete(f.state.Containers, i, i+1)
		return
	}
	if i < 0 {
		f.made++
		c := plan.Container{ID: fmt.Sprintf("c%d", f.made), Name: name, Labels: map[string]string{plan.ProjectLabel: "p", plan.ServiceLabel: change.Service}, Status: plan.Running}
		f.state.Containers = append(f.state.Containers, c)
		i = len(f.state.Containers) - 1
	}
	c := &f.state.Containers[i]
	c.Labels = maps.Clone(c.Labels)
	maps.Copy(c.Labels, change.Labels)
	if change.Unmounted {
		c.Mounts = nil
	}
	if change.Unconnected {
		c.Networks = nil
	}
	for _, network := range change.Networks {
		c.Networks = append(c.Networks, plan.Endpoint{Network: network})
	}
	for target, volume := range change.Volumes {
		c.Mounts = append(c.Mounts, plan.Mount{Volume: volume, Target: target})
	}
	if change.Name != "" {
		c.Name = change.Name
	}
	if change.ID != "" {
		c.ID = change.ID
	}
	if change.Status != "" {
		c.Status, c.ExitCode, c.Health = change.Status, change.Exit, ""
	}
	if change.Health != "" {
		c.Health = change.Health
	}
	c.ReadLabels()
}

// text is what is there without what differs from run to run: identities, and which container took whose place.
func (f *fake) text(t *testing.T) string {
	t.Helper()
	names := map[string]string{}
	for _, c := range f.state.Containers {
		names[c.ID] = c.Name
	}
	s := f.observe()
	slices.SortFunc(s.Containers, func(a, b plan.Container) int { return strings.Compare(a.Name, b.Name) })
	for i := range s.Containers {
		c := &s.Containers[i]
		c.ID, c.Replaces, c.Labels = "", "", maps.Clone(c.Labels)
		delete(c.Labels, plan.ReplaceLabel)
		for j := range c.Networks {
			if !f.is(c.Networks[j]) {
				c.Networks[j].Network = "gone"
			}
			c.Networks[j].ID = ""
		}
		slices.SortFunc(c.Networks, func(a, b plan.Endpoint) int { return strings.Compare(a.Network, b.Network) })
		c.Mounts = slices.Clone(c.Mounts)
		for j := range c.Mounts {
			if m := &c.Mounts[j]; m.Anonymous {
				m.Volume = map[bool]string{true: "kept", false: "new"}[f.kept[m.Volume]]
			}
		}
		c.Shares = slices.Clone(c.Shares)
		for j, id := range c.Shares {
			c.Shares[j] = names[id]
		}
	}
	for i := range s.Networks {
		s.Networks[i].ID = ""
	}
	slices.SortFunc(s.Networks, func(a, b plan.Network) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Volumes, func(a, b plan.Volume) int { return strings.Compare(a.Name, b.Name) })
	out, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
