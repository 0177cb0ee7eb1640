package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/linnet-dev/linnet/pkg/build/options"
	"github.com/linnet-dev/linnet/pkg/hint"
)

// options turns a service's build section into a build. Every key of the section has its place
// here, but for isolation, which means nothing on Linux.
func (p *Project) options(s types.ServiceConfig, w Wanted) (options.Options, error) {
	b := s.Build
	o := options.Options{
		Context: from(w.Dir, b.Context), Inline: b.DockerfileInline, Target: b.Target,
		Args: map[string]string{}, Labels: map[string]string(b.Labels),
		Platforms: p.platforms(s), NoCache: b.NoCache || w.NoCache, NoCacheFilter: b.NoCacheFilter,
		Pull: b.Pull || w.Pull, Tags: append([]string{p.image(s)}, b.Tags...),
		Network: b.Network, AddHosts: b.ExtraHosts.AsList("="), ShmSize: int64(b.ShmSize),
		Ulimits: ulimits(b.Ulimits), Allow: slices.Clone(b.Entitlements),
	}
	slices.Sort(o.AddHosts)
	if b.Privileged {
		o.Allow = append(o.Allow, "security.insecure")
	}
	if o.Network == "host" && !slices.Contains(o.Allow, "network.host") {
		return o, hint.With(errors.New("its build asks for network: host, which is not allowed"),
			"say so in its build section: entitlements: [network.host]")
	}
	for name, value := range b.Args {
		if value != nil { // a name that the environment does not have is no argument
			o.Args[name] = *value
		}
	}
	maps.Copy(o.Args, w.Args)
	if w.Push && s.Image != "" {
		o.Outputs = []options.Output{{Type: "image", Attrs: map[string]string{"push": "true"}}}
	}
	o.File = p.file(b, w.Dir)
	for _, add := range []func(*options.Options, types.ServiceConfig) error{p.addContexts, p.addSecrets, p.addSSH, p.addCaches} {
		if err := add(&o, s); err != nil {
			return o, err
		}
	}
	o.SSH = append(o.SSH, w.SSH...)
	var err error
	o.Attests, err = options.ParseAttests(nil, cmp.Or(w.Provenance, b.Provenance), cmp.Or(w.SBOM, b.SBOM))
	return o, err
}

// platforms are those of the build, or the one that the service runs on.
func (p *Project) platforms(s types.ServiceConfig) []string {
	if len(s.Build.Platforms) > 0 {
		return s.Build.Platforms
	}
	if s.Platform != "" {
		return []string{s.Platform}
	}
	if d := p.model.Environment["DOCKER_DEFAULT_PLATFORM"]; d != "" {
		return []string{d}
	}
	return nil
}

// file is the Dockerfile where it is not the context's own: from here, as messages show it. In a
// context of elsewhere it is a path of that context.
func (p *Project) file(b *types.BuildConfig, dir string) string {
	if b.DockerfileInline != "" || b.Dockerfile == "" || b.Dockerfile == "Dockerfile" {
		return ""
	}
	if filepath.IsAbs(b.Dockerfile) || !filepath.IsAbs(b.Context) {
		return b.Dockerfile
	}
	return from(dir, filepath.Join(b.Context, b.Dockerfile))
}

// from is a path of this host as messages show it: from a directory, where it is below that.
func from(dir, path string) string {
	if dir == "" || !filepath.IsAbs(path) {
		return path
	}
	rel, err := filepath.Rel(dir, path)
	switch {
	case err != nil || rel == ".." || strings.HasPrefix(rel, "../"):
		return path
	case rel == ".":
		return rel
	}
	return "./" + rel // a path, and never an address
}

func (p *Project) addContexts(o *options.Options, s types.ServiceConfig) error {
	for _, name := range slices.Sorted(maps.Keys(s.Build.AdditionalContexts)) {
		value := s.Build.AdditionalContexts[name]
		if from, ok := strings.CutPrefix(value, types.ServicePrefix); ok {
			other, err := p.service(from)
			if err != nil {
				return err
			}
			// What was built a moment ago is in no registry that could be asked for a newer one.
			value, o.Pull = "docker-image://"+p.image(other), false
		}
		o.Contexts = append(o.Contexts, options.Context{Name: strings.ToLower(name), Value: value})
	}
	return nil
}

// addSecrets names files and variables; what is in them is read when a step asks for it.
func (p *Project) addSecrets(o *options.Options, s types.ServiceConfig) error {
	for _, ref := range s.Build.Secrets {
		secret := options.Secret{ID: ref.Target}
		if secret.ID == "" {
			secret.ID = ref.Source
		}
		from, ok := p.model.Secrets[ref.Source]
		switch {
		case !ok:
			return fmt.Errorf("the secret %s is not among the project's secrets", ref.Source)
		case bool(from.External):
			return hint.With(fmt.Errorf("the secret %s is external, and there is no store of secrets here", ref.Source),
				"give it a file or environment in the project's secrets")
		case from.Environment != "":
			secret.Env = from.Environment
		default:
			secret.File = from.File
		}
		o.Secrets = append(o.Secrets, secret)
	}
	return nil
}

func (p *Project) addSSH(o *options.Options, s types.ServiceConfig) error {
	// The model keeps them in a map; what is the same has to be the same build.
	keys := slices.SortedFunc(slices.Values(s.Build.SSH), func(a, b types.SSHKey) int { return strings.Compare(a.ID, b.ID) })
	for _, key := range keys {
		a := options.SSH{ID: key.ID}
		if key.Path != "" {
			a.Paths = []string{p.path(key.Path)}
		}
		o.SSH = append(o.SSH, a)
	}
	return nil
}

func (p *Project) addCaches(o *options.Options, s types.ServiceConfig) error {
	for _, c := range []struct {
		flag, key string
		values    []string
		to        *[]options.Cache
	}{
		{"cache-from", "src", s.Build.CacheFrom, &o.CacheFrom},
		{"cache-to", "dest", s.Build.CacheTo, &o.CacheTo},
	} {
		for _, value := range c.values {
			got, err := options.ParseCache(c.flag, value)
			if err != nil {
				return err
			}
			for _, cache := range got {
				if cache.Type == "local" {
					cache.Attrs[c.key] = p.path(cache.Attrs[c.key])
				}
				*c.to = append(*c.to, cache)
			}
		}
	}
	return nil
}

// path is relative to the project's directory.
func (p *Project) path(path string) string {
	if filepath.IsAbs(path) || strings.HasPrefix(path, "~") {
		return path
	}
	return filepath.Join(p.model.WorkingDir, path)
}

// ulimits are in docker's form: NAME=SOFT:HARD.
func ulimits(all map[string]*types.UlimitsConfig) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		u := all[name]
		soft, hard := u.Soft, u.Hard
		if u.Single != 0 {
			soft, hard = u.Single, u.Single
		}
		list = append(list, name+"="+strconv.Itoa(soft)+":"+strconv.Itoa(hard))
	}
	return list
}
