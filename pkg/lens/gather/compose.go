package gather

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/linnet-dev/linnet/pkg/compose"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/lens"
)

// build is what a compose file says of a Dockerfile.
type build struct {
	context, target string
	health          bool
}

// compose reads a project's compose file, and the one of the usual name that is laid over it. builds gets what its services build.
func (r *reader) compose(ctx context.Context, file string, builds map[string][]build) (*lens.Compose, error) {
	c := &lens.Compose{Name: r.host.shown(file)}
	info, err := os.Stat(file)
	if err == nil && info.Size() > mostFile {
		err = fmt.Errorf("it has more than %d MiB", mostFile>>20)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", c.Name, hint.Cause(err))
	}
	files := []string{file}
	end := filepath.Ext(file)
	for _, over := range []string{".override.yaml", ".override.yml"} {
		if name := strings.TrimSuffix(file, end) + over; len(files) == 1 && exists(name) {
			files = append(files, name)
		}
	}
	project, err := compose.Load(ctx, compose.Source{Files: files, Dir: filepath.Dir(file), Environ: r.host.Environ})
	if err != nil {
		cause := strings.ReplaceAll(err.Error(), filepath.Dir(file)+string(filepath.Separator), "")
		c.Failed, _, _ = strings.Cut(cause, "\n")
		return c, nil // it is a finding
	}
	lines, literals := lens.ComposeLines(text)
	services := project.Services()
	dependents := map[string][]string{}
	for _, s := range services {
		for _, other := range s.Started {
			dependents[other] = append(dependents[other], s.Name)
		}
	}
	for _, s := range services {
		one := lens.Service{
			Name: s.Name, Line: lines[s.Name], Image: s.Image, Memory: s.Memory, CPUs: s.CPUs, Health: s.Health, Dependents: dependents[s.Name],
			Privileged: s.Privileged, Capabilities: s.Capabilities, Mounts: s.Mounts, Literals: literals[s.Name],
		}
		if s.Dockerfile != "" {
			one.Build = r.host.shown(s.Dockerfile)
			if exists(s.Dockerfile) {
				builds[s.Dockerfile] = append(builds[s.Dockerfile], build{s.Context, s.Target, s.Health})
				r.dockerfiles = append(r.dockerfiles, s.Dockerfile)
			}
		} else if s.Context != "" {
			one.Build = s.Context
		}
		c.Services = append(c.Services, one)
	}
	return c, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
