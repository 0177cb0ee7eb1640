// Package registry knows the registries' credentials that are this host's: docker's
// configuration file and the credential helpers that it names. An engine that is elsewhere asks
// for them when it needs them and keeps none, so they are looked up, and kept, here.
//
// It must not know who asks, nor what for. It puts no secret on a command line, in an error or
// in a log.
package registry

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/linnet-dev/linnet/pkg/guest"
)

// Hub is the registry of an image that is named without one.
const Hub = "docker.io"

// What docker's configuration and the credential helpers call Hub, and where it answers.
const (
	hubKey  = "https://index.docker.io/v1/"
	hubHost = "index.docker.io"
)

// Config is docker's configuration of this host. The file is read when it is asked for
// something, not before. It may be used by several goroutines.
type Config struct {
	path    string
	environ []string

	mu    sync.Mutex
	known map[string]answer // what Credentials has found out, by registry
}

type answer struct {
	credentials guest.Credentials
	err         error
}

// Open finds the configuration by an environment, a list of NAME=value: config.json in
// DOCKER_CONFIG, or in .docker of HOME. Helpers run with that environment.
func Open(environ []string) *Config {
	c := &Config{environ: environ, known: map[string]answer{}}
	dir := c.env("DOCKER_CONFIG")
	if home := c.env("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".docker")
	}
	if dir != "" {
		c.path = filepath.Join(dir, "config.json")
	}
	return c
}

// Path is the configuration file; empty when the environment does not tell.
func (c *Config) Path() string { return c.path }

func (c *Config) env(name string) string {
	value := ""
	for _, pair := range c.environ {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}

// Credentials looks up what is known of a registry: a host, host:port, an address of it, or
// what docker calls it. None is empty Credentials and no error. An identity token has the
// user "<token>", as the credential helpers have it.
//
// One look-up answers for all the ways to name a registry, for as long as c is used: who pulls
// tries several, and each could mean a helper that asks the user for leave.
func (c *Config) Credentials(ctx context.Context, registry string) (guest.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keys(registry)[0]
	if a, ok := c.known[key]; ok {
		return a.credentials, a.err
	}
	got, err := c.lookUp(ctx, registry)
	if err != nil {
		err = fmt.Errorf("looking up the credentials of %s: %w", Shown(registry), err)
	}
	if ctx.Err() == nil {
		c.known[key] = answer{got, err}
	}
	return got, err
}

func (c *Config) lookUp(ctx context.Context, registry string) (guest.Credentials, error) {
	f, err := c.read()
	if err != nil {
		return guest.Credentials{}, err
	}
	// Docker takes what stands in this variable before all else.
	given, err := parseEnv(c.env(envAuths))
	if err != nil {
		return guest.Credentials{}, err
	}
	for _, key := range keys(registry) {
		if got, err := given.find(key); err != nil || got != (guest.Credentials{}) {
			return got, err
		}
		var got guest.Credentials
		if helper := f.helper(key); helper != "" {
			got, err = c.ask(ctx, helper, key)
		} else {
			got, err = f.find(key)
		}
		if err != nil || got != (guest.Credentials{}) {
			return got, err
		}
	}
	return guest.Credentials{}, nil
}

// keys are the names under which docker and others keep the credentials of a registry, what
// docker uses first. They are hosts, of which an entry's address may be an address.
func keys(registry string) []string {
	host := hostOf(registry)
	if isHub(host) {
		return []string{hubKey}
	}
	// nerdctl always names the port.
	plain := strings.TrimSuffix(host, ":443")
	return []string{plain, plain + ":443"}
}

// keptAs is the name under which login keeps them.
func keptAs(registry string) string {
	if host := hostOf(registry); !isHub(host) {
		return host
	}
	return hubKey
}

// Shown is a registry as people name it.
func Shown(registry string) string {
	if host := hostOf(registry); !isHub(host) {
		return host
	}
	return Hub
}

func isHub(host string) bool {
	switch strings.TrimSuffix(host, ":443") {
	case "", Hub, hubHost, "registry-1.docker.io":
		return true
	}
	return false
}

// hostOf is an address without scheme and path: host or host:port.
func hostOf(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	address, _, _ = strings.Cut(address, "/")
	return address
}
