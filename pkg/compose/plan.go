package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/build/options"
)

// Wanted is what shall be built, and how other than the files say.
type Wanted struct {
	// Services are named ones; none means all that an active profile has.
	Services []string
	// Dependencies says that what the named services depend on is built as well.
	Dependencies bool
	// Dir is the directory that paths in messages are relative to.
	Dir string

	Args                map[string]string
	SSH                 []options.SSH
	Provenance, SBOM    string
	NoCache, Pull, Push bool
}

// Build is one build of a plan.
type Build struct {
	Service string
	// After are the services whose images this one is built from.
	After []string
	// Image is the name of the result that the service's containers go by.
	Image   string
	Options options.Options
	// Always says that the service's images are never taken as they are.
	Always bool
}

// Plan says what has to be built: each build once, and after those that it needs.
func (p *Project) Plan(w Wanted) ([]Build, error) {
	names := w.Services
	if len(names) == 0 {
		names = p.model.ServiceNames()
	}
	planner := &planner{project: p, wanted: w, state: map[string]int{}}
	for _, name := range names {
		if err := planner.add(name, w.Dependencies); err != nil {
			return nil, err
		}
	}
	return planner.plan, nil
}

// Platforms are those that the containers of the wanted services are for, where the files say so,
// each once.
func (p *Project) Platforms(w Wanted) (all []string) {
	names := w.Services
	if len(names) == 0 {
		names = p.model.ServiceNames()
	}
	seen := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		s, err := p.service(name)
		if err != nil || seen[name] {
			continue // Plan complains of a name that is none
		}
		seen[name] = true
		if s.Platform != "" && !slices.Contains(all, s.Platform) {
			all = append(all, s.Platform)
		}
		if w.Dependencies {
			names = slices.Concat(names, p.dependencies(s))
		}
	}
	slices.Sort(all)
	return all
}

// dependencies are the services that are started with s: all it needs, and those it does not that
// an active profile has.
func (p *Project) dependencies(s types.ServiceConfig) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.DependsOn)), func(name string) bool {
		_, active := p.model.Services[name]
		return !active && !s.DependsOn[name].Required
	})
}

// How far a service is.
const (
	unseen = iota
	entered
	left
)

type planner struct {
	project *Project
	wanted  Wanted
	state   map[string]int
	path    []string
	plan    []Build
}

// add plans a service, and before it what it is built from and, where asked for, what it depends
// on.
func (pl *planner) add(name string, dependencies bool) error {
	if pl.state[name] == left {
		return nil
	}
	if pl.state[name] == entered {
		return fmt.Errorf("planning the builds: %s are built from each other", strings.Join(append(pl.path, name), " -> "))
	}
	s, err := pl.project.service(name)
	if err != nil {
		return err
	}
	pl.state[name] = entered
	pl.path = append(pl.path, name)
	defer func() { pl.state[name], pl.path = left, pl.path[:len(pl.path)-1] }()
	if dependencies {
		for _, d := range pl.project.dependencies(s) {
			if err := pl.add(d, true); err != nil {
				return err
			}
		}
	}
	if s.Build == nil {
		return nil
	}
	sources := builtFrom(s.Build)
	for _, from := range sources {
		if err := pl.add(from, dependencies); err != nil {
			return err
		}
	}
	o, err := pl.project.options(s, pl.wanted)
	if err != nil {
		return inService(name, err)
	}
	pl.plan = append(pl.plan, Build{
		Service: name, After: sources, Image: pl.project.image(s), Options: o,
		Always: s.PullPolicy == types.PullPolicyBuild,
	})
	return nil
}

// builtFrom are the services whose images are additional contexts of a build.
func builtFrom(b *types.BuildConfig) (all []string) {
	for _, value := range b.AdditionalContexts {
		if name, ok := strings.CutPrefix(value, types.ServicePrefix); ok && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// inService says of an error which service it is of, and keeps its hint.
func inService(name string, err error) error { return fmt.Errorf("service %s: %w", name, err) }

// Without drops the builds that a function knows to be done, but not what others are built after.
func Without(plan []Build, done func(Build) bool) (rest []Build) {
	needed := map[string]bool{}
	for _, b := range slices.Backward(plan) {
		if !needed[b.Service] && done(b) {
			continue
		}
		for _, name := range b.After {
			needed[name] = true
		}
		rest = append(rest, b)
	}
	slices.Reverse(rest)
	return rest
}
