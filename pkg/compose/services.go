package compose

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// Service is what a project says of one of its services, as plain data.
type Service struct {
	Name, Image string
	// Context and Dockerfile are absolute paths of its build, and Target the stage; "" without a build of a directory.
	Context, Dockerfile, Target string
	// Memory and CPUs say that it has such a limit, Health that it has a health check or says that it wants none.
	Memory, CPUs, Health, Privileged bool
	Capabilities                     []string // that it adds
	Mounts                           []string // paths of the host
	// Started are the services that it waits for without waiting until they are healthy, or have ended.
	Started []string
}

// Services are those of each profile, by their names.
func (p *Project) Services() (all []Service) {
	model := p.model.AllServices()
	for _, name := range slices.Sorted(maps.Keys(model)) {
		s := model[name]
		one := Service{Name: name, Image: s.Image, Memory: s.MemLimit > 0, CPUs: s.CPUS > 0, Health: s.HealthCheck != nil, Privileged: s.Privileged}
		if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
			limits := s.Deploy.Resources.Limits
			one.Memory, one.CPUs = one.Memory || limits.MemoryBytes > 0, one.CPUs || limits.NanoCPUs > 0
		}
		for _, c := range s.CapAdd {
			one.Capabilities = append(one.Capabilities, strings.TrimPrefix(strings.ToUpper(c), "CAP_"))
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				one.Mounts = append(one.Mounts, v.Source)
			}
		}
		for _, other := range slices.Sorted(maps.Keys(s.DependsOn)) {
			if s.DependsOn[other].Condition == types.ServiceConditionStarted {
				one.Started = append(one.Started, other)
			}
		}
		if b := s.Build; b != nil && b.DockerfileInline == "" && filepath.IsAbs(b.Context) {
			one.Context, one.Target = b.Context, b.Target
			one.Dockerfile = cmp.Or(b.Dockerfile, "Dockerfile")
			if !filepath.IsAbs(one.Dockerfile) {
				one.Dockerfile = filepath.Join(b.Context, one.Dockerfile)
			}
		}
		all = append(all, one)
	}
	return all
}
