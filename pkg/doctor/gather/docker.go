package gather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linnet-dev/linnet/pkg/dockercontext"
	"github.com/linnet-dev/linnet/pkg/doctor"
	"github.com/linnet-dev/linnet/pkg/hint"
	"github.com/linnet-dev/linnet/pkg/migrate"
)

// dockerConfig is what of Docker's config.json is judged (https://docs.docker.com/reference/cli/docker/#configuration-files).
type dockerConfig struct {
	Auths   map[string]struct{} `json:"auths"` // names alone
	Store   string              `json:"credsStore"`
	Helpers map[string]string   `json:"credHelpers"`
	Proxies map[string]struct {
		HTTP  string `json:"httpProxy"`
		HTTPS string `json:"httpsProxy"`
		All   string `json:"allProxy"`
		No    string `json:"noProxy"`
	} `json:"proxies"`
}

// dockerConfig reads it; none is an empty one. Its errors quote nothing of the text.
func (s Source) dockerConfig() (c dockerConfig, err error) {
	store, err := dockercontext.Open(s.LookupEnv)
	if err != nil {
		return c, nil //nolint:nilerr // without HOME there is none
	}
	text, err := os.ReadFile(store.ConfigFile())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("reading docker's configuration: %w", hint.PathCause(err))
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, hint.New("reading docker's configuration: "+store.ConfigFile()+" is not JSON as docker writes it", "mend it, or move it away and log in again")
	}
	return c, nil
}

// RegistryNames are docker.io and the registries that Docker's configuration has credentials of, at most ten.
func (s Source) RegistryNames() []string {
	const most = 10
	names := []string{"docker.io"}
	c, _ := s.dockerConfig() // said where the configuration is judged
	for _, key := range append(slices.Sorted(maps.Keys(c.Auths)), slices.Sorted(maps.Keys(c.Helpers))...) {
		name := strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
		name, _, _ = strings.Cut(name, "/")
		if name != "index.docker.io" && name != "" && !slices.Contains(names, name) && len(names) < most {
			names = append(names, name)
		}
	}
	return names
}

// docker looks at what on this machine is for Docker's clients.
func (s Source) docker(ctx context.Context) doctor.Docker {
	d := doctor.Docker{Socket: s.Layout.DockerSocket(), Helpers: map[string]string{}}
	store, err := dockercontext.Open(s.LookupEnv)
	if err == nil {
		d.Config = store.ConfigFile()
		d.Host, d.From = s.clientsEngine(store)
	}
	c, err := s.dockerConfig()
	d.ConfigError = problem(err)
	if c.Store != "" && !s.inPath("docker-credential-"+c.Store) {
		d.Store = "docker-credential-" + c.Store
	}
	for registry, helper := range c.Helpers {
		if helper != "" && !s.inPath("docker-credential-"+helper) {
			d.Helpers[registry] = "docker-credential-" + helper
		}
	}
	if socket, ok := strings.CutPrefix(d.Host, "unix://"); ok {
		d.HostAnswers = answers(ctx, socket)
	}
	d.Serves = answers(ctx, d.Socket) == doctor.Yes
	d.System = doctor.Place{Path: s.DockerSocket}
	if _, err := os.Lstat(s.DockerSocket); err == nil {
		d.System.Exists = true
		d.System.Target, _ = os.Readlink(s.DockerSocket) // no link leads nowhere
		d.System.Answers = answers(ctx, s.DockerSocket)
	}
	d.Engines = s.others(ctx)
	return d
}

// clientsEngine is where Docker's clients go, and which variable or context says so; empty where none does.
func (s Source) clientsEngine(store dockercontext.Store) (host, from string) {
	if host := s.env("DOCKER_HOST"); host != "" {
		return host, "DOCKER_HOST"
	}
	current, from := s.env("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if current == "" {
		current, _ = store.Current() // said where the configuration is judged
		from = "Docker's context " + current
	}
	c, ok, err := store.Find(current)
	if current == "" || err != nil || !ok {
		return "", ""
	}
	return c.Host, from
}

// inPath reports whether the user's PATH has a program.
func (s Source) inPath(name string) bool {
	for _, dir := range filepath.SplitList(s.env("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

// finchSockets are where Finch's daemon listens, on Linux and on macOS.
var finchSockets = []string{"/run/finch.sock", "/Applications/Finch/lima/data/finch/sock/finch.sock"}

// others are the engines whose sockets are at the usual places.
func (s Source) others(ctx context.Context) (all []doctor.OtherEngine) {
	found := migrate.Host{LookupEnv: s.LookupEnv, Home: s.env("HOME"), Own: s.Layout.DockerSocket()}.Sockets("")
	for _, path := range finchSockets {
		if there(path) {
			found = append(found, migrate.Source{Name: "finch", Socket: path})
		}
	}
	for _, f := range found {
		if info, err := os.Stat(f.Socket); err != nil || info.Mode()&fs.ModeSocket == 0 {
			continue // a mount of a socket that was not there leaves a directory
		}
		all = append(all, doctor.OtherEngine{Name: f.Name, Socket: f.Socket, Answers: answers(ctx, f.Socket) != doctor.No})
	}
	return all
}
