// Package compose reads compose files on this host, with this host's environment, and turns the
// build sections of their services into builds.
//
// It must not know what a command line is, nor how and where a build runs: it says which builds
// there are, of what, and which of them has to wait for which.
package compose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/errdefs"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/hint"
)

// Source is where a project is described, as the user says it.
type Source struct {
	// Files are compose files, later ones over earlier ones; none means COMPOSE_FILE, or the
	// file of a usual name in the project's directory or above it.
	Files []string
	// Name is the project's; empty means the file's own word for it, or its directory's.
	Name string
	// Dir is the project's directory; empty means that of the first file.
	Dir      string
	EnvFiles []string
	Profiles []string
	// Environ is what files are interpolated with, as os.Environ gives it.
	Environ []string
}

// Project is what compose files describe.
type Project struct{ model *types.Project }

// Load reads, merges, interpolates and checks a project's files. What only containers need, such
// as their environment files, is not read.
func Load(ctx context.Context, s Source) (*Project, error) {
	o, err := cli.NewProjectOptions(s.Files,
		cli.WithEnv(s.Environ),
		cli.WithWorkingDirectory(s.Dir),
		cli.WithEnvFiles(s.EnvFiles...),
		cli.WithDotEnv,
		cli.WithConfigFileEnv,
		cli.WithDefaultConfigPath,
		// Again, now that the project's directory is known: its own .env is meant.
		cli.WithEnvFiles(s.EnvFiles...),
		cli.WithDotEnv,
		cli.WithName(s.Name),
		cli.WithDefaultProfiles(s.Profiles...),
		cli.WithoutEnvironmentResolution,
		cli.WithoutLabelsResolution,
	)
	if err != nil {
		return nil, loadError(err)
	}
	model, err := o.LoadProject(ctx)
	if err != nil {
		return nil, loadError(err)
	}
	return &Project{model}, nil
}

func loadError(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) && strings.Contains(err.Error(), "no configuration file") {
		return hint.With(errors.New("reading the compose file: there is none in this directory or above it"),
			"write compose.yaml, or name one: linnet compose -f FILE ...")
	}
	var file *fs.PathError
	if errors.As(err, &file) && errors.Is(err, fs.ErrNotExist) {
		return hint.With(fmt.Errorf("reading the compose file: %s: %w", file.Path, file.Err),
			"check the name behind -f, in COMPOSE_FILE or in an include")
	}
	return fmt.Errorf("reading the compose file: %w", err)
}

// Name is the project's.
func (p *Project) Name() string { return p.model.Name }

// LookupEnv is the environment of the project: this host's, and what .env adds.
func (p *Project) LookupEnv(name string) (string, bool) {
	value, ok := p.model.Environment[name]
	return value, ok
}

// image is the name under which the image of a service is found: its own, or PROJECT-SERVICE.
func (p *Project) image(s types.ServiceConfig) string {
	if s.Image != "" {
		return s.Image
	}
	return p.model.Name + "-" + s.Name
}

// Images are the names of all services' images, of each profile.
func (p *Project) Images() (all []string) {
	for _, s := range p.model.AllServices() {
		all = append(all, p.image(s))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// service finds a service, also one that no active profile has: naming it is choosing it.
func (p *Project) service(name string) (types.ServiceConfig, error) {
	all := p.model.AllServices()
	if s, ok := all[name]; ok {
		s.Name = name
		return s, nil
	}
	return types.ServiceConfig{}, hint.With(fmt.Errorf("there is no service %q in the project %s", name, p.model.Name),
		"it has "+strings.Join(slices.Sorted(maps.Keys(all)), ", "))
}
